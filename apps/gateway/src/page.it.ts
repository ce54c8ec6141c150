import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { spawnApp, until } from '@weir/testkit';
import type { Page } from 'playwright-core';
import { bench } from './gateway.fixture.ts';
import { buildPage, type Look, openPage, overflow, textOf as text, violations } from './page.fixture.ts';

buildPage();

const scope = { after };
const it = await bench(scope);
const rules = join(it.space.folder, 'weir.yaml');
writeFileSync(
  rules,
  'alerter: { rules: [{ id: too-warm, metric: temperature, above: 30, clear: 29, hold: 1s, severity: critical }] }\n',
);
const env = {
  ...it.space.env,
  WEIR_CONFIG: rules,
  WEIR_EDGE__ANONYMOUS: 'true',
  WEIR_AGGREGATOR__IDLE_TIMEOUT: '2s',
  // No archiver runs here, and the alerts of this page are those of the rule.
  WEIR_LAG_MONITOR__ALERTS: 'false',
};
const [edge] = await Promise.all([
  spawnApp(scope, 'edge', env, { readyMs: 60_000 }),
  spawnApp(scope, 'aggregator', env, { readyMs: 60_000 }),
  spawnApp(scope, 'alerter', env, { readyMs: 60_000 }),
  spawnApp(scope, 'lag-monitor', env, { readyMs: 60_000 }),
]);
for (const path of ['/api/v1/pressure', '/api/v1/ledger'])
  await until(async () => (await it.get(path)).status === 200, {
    deadlineMs: 30_000,
    what: `${path} to be known`,
  });

/** Publishes for three devices, over the HTTP door, until the file ends; pump-3 is too warm. */
let seq = 0;
async function publish(): Promise<void> {
  seq++;
  const values = (device: string) => ({
    temperature: device === 'pump-3' ? 35 : 20 + Math.sin(seq / 5),
    pressure: seq % 7,
  });
  await Promise.all(
    ['pump-1', 'pump-2', 'pump-3'].map(async (device) => {
      const response = await fetch(`${edge.url}/ingest/v1/hall/${device}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ ts: Date.now(), seq, values: values(device) }),
      });
      await response.arrayBuffer();
    }),
  );
}
const publishing = setInterval(() => {
  publish().catch(() => undefined);
}, 250);
after(() => clearInterval(publishing));

const open = (t: TestContext, look: Look = {}): Promise<Page> => openPage(it, t, look);

test('the figures and the live chart move, every stage has its state in words', async (t) => {
  const page = await open(t);
  await page.locator('[data-figure="readingsPerSecond"] .big', { hasText: /^\d/ }).waitFor();
  const acknowledged = () => text(page, '[data-figure="acknowledgedPerSecond"] .small');
  const before = await acknowledged();
  await until(async () => (await acknowledged()) !== before, {
    deadlineMs: 15_000,
    what: 'the total to grow',
  });
  await page.locator('[data-stage="edge"] .state', { hasText: 'OK' }).waitFor();
  assert.equal(await page.locator('[data-stage]').count(), 12);
  await page.locator('[data-stage="archiver"] .state', { hasText: 'Down' }).waitFor();
  await page
    .locator('.wrong', { hasText: 'The archiver does not answer: nothing listens on its port.' })
    .waitFor();
  await page.locator('.feed-open').waitFor();
  const value = await text(page, '[data-live-value]');
  await until(async () => (await text(page, '[data-live-value]')) !== value, {
    deadlineMs: 15_000,
    what: 'a new live value',
  });
});

test('without a mouse: skip link, device by keyboard, windows and their level, cursor on the chart', async (t) => {
  const page = await open(t);
  await page.locator('[role=option]').nth(2).waitFor();
  await page.keyboard.press('Tab');
  await page.locator('.skip:focus').waitFor();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  await page.locator('#device-search:focus').waitFor();
  await page.keyboard.type('PUMP-2');
  await page.locator('[role=option]', { hasText: 'pump-1' }).waitFor({ state: 'detached' });
  await page.keyboard.press('Enter');
  await page.locator('#device-title', { hasText: 'pump-2' }).waitFor();
  await page.waitForURL(/site=hall&device=pump-2/);
  await page.keyboard.press('Escape');
  await page.locator('[role=option]', { hasText: 'pump-1' }).waitFor();
  await page.locator('[role=option][aria-selected=true]', { hasText: 'pump-2' }).waitFor();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.locator('#device-title', { hasText: 'pump-3' }).waitFor();

  await page.locator('input[name=View][value=live]').focus();
  await page.keyboard.press('ArrowRight');
  // A quarter of an hour is shown in points of five seconds unless a size of windows is chosen.
  await page.locator('[data-step="5 s"]').waitFor();
  await page.locator('select').selectOption('1s');
  await page.locator('[data-step="1 s"]').waitFor();
  await page.locator('select').selectOption('10s');
  await page.locator('[data-step="10 s"]').waitFor();
  await page.locator('.toggle.p90 input').focus();
  await page.keyboard.press('Space');
  await page.locator('.legend .key-p90').waitFor();
  await page.waitForURL(/view=windows&level=10s&show=p90/);
  const chart = page.locator('[role=img]');
  const caption = page.locator('figcaption', {
    hasText: /\(10 s, (still open|closed)\): mean .*p90 .*readings/,
  });
  // Windows that arrive meanwhile are drawn anew and take the cursor away; a person presses the key again.
  await until(
    async () => {
      await chart.focus();
      await page.keyboard.press('End');
      return caption.isVisible();
    },
    { deadlineMs: 30_000, what: 'the figures of the newest window', everyMs: 200 },
  );

  await page.locator('[data-stage="edge"] button').focus();
  await page.keyboard.press('Enter');
  await page.locator('#stage-detail', { hasText: 'acknowledges them after the fsync' }).waitFor();
  await page.reload();
  await page.locator('#device-title', { hasText: 'pump-3' }).waitFor();
  await page.locator('[data-step="10 s"]').waitFor();
});

test('the score of the chosen metric is drawn, and says what it was learnt from', async (t) => {
  const page = await open(t, { path: '/?site=hall&device=pump-1&view=anomaly&level=1s' });
  await page.locator('[data-scored]', { hasText: /0 of \d+ windows scored/ }).waitFor();
  await page.locator('.muted', { hasText: 'A first score takes an hour of values' }).waitFor();
  await page.locator('input[name=View][value=anomaly]:checked').waitFor();
});

test('the device tells how far its windows are, and the chart what is final', async (t) => {
  const page = await open(t, { path: '/?site=hall&device=pump-1&view=windows&level=1s' });
  const facts = page.locator('.facts');
  await facts.locator('.liveness-online').waitFor();
  await facts
    .locator('.fact', { hasText: 'Sequence' })
    .locator('dd', { hasText: 'nothing missing' })
    .waitFor();
  const watermark = () => page.locator('[data-watermark]').getAttribute('data-watermark');
  const before = await watermark();
  await until(async () => Date.parse((await watermark()) ?? '') > Date.parse(before ?? ''), {
    deadlineMs: 15_000,
    what: 'the watermark to go on',
  });
  const sources = page.locator('.sources');
  await sources.locator('summary').click();
  await sources.getByText(/^Made of .*windows of 1s\.$/).waitFor();
  await sources.getByText('Closed: the device has gone on').waitFor();
});

test('an alert is shown with severity, state and since when, and leads to its device', async (t) => {
  const page = await open(t);
  const alert = page.locator('.alert', {
    hasText: /critical.*firing.*pump-3.*too-warm: temperature 35 \(limit 30\).*since/s,
  });
  await alert.waitFor();
  await alert.locator('button').click();
  await page.locator('#device-title', { hasText: 'pump-3' }).waitFor();
});

for (const scheme of ['light', 'dark'] as const) {
  test(`${scheme}: nothing is wider than a phone, and axe finds nothing`, async (t) => {
    const page = await open(t, { width: 360, height: 740, scheme });
    await page.locator('.alert').first().waitFor();
    await page.locator('.value').first().waitFor();
    await page.locator('.facts').waitFor();
    assert.equal(await overflow(page), 0);
    assert.deepEqual(await violations(page), []);
    await page.locator('input[name=View][value=windows]').check({ force: true });
    await page.locator('[data-step]').waitFor();
    await page.locator('[data-stage="edge"] button').click();
    assert.equal(await overflow(page), 0);
    await page.setViewportSize({ width: 1600, height: 900 });
    assert.equal(await overflow(page), 0);
    assert.deepEqual(await violations(page), []);
    const background = () => page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
    const own = await background();
    const button = page.getByRole('button', { name: /^Theme/ });
    await button.click();
    if ((await background()) === own) await button.click();
    assert.notEqual(await background(), own, 'the button changes the theme');
  });
}

test('the gateway goes away: a sentence says so, and the figures stay', async (t) => {
  const page = await open(t);
  await page.locator('[data-figure="readingsPerSecond"] .big', { hasText: /^\d/ }).waitFor();
  // The browser's own report of a request that failed is not an error of the page.
  page.removeAllListeners('console');
  await page.context().setOffline(true);
  await page.locator('.banner', { hasText: 'The gateway does not answer.' }).waitFor();
  assert.match(await text(page, '.banner'), /the figures below are from \d\d:\d\d:\d\d/);
  await page.context().setOffline(false);
  await page.locator('.banner').waitFor({ state: 'detached' });
});
