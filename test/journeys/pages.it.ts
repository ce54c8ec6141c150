import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { openClient } from '@weir/connect-mqtt';
import { applyTopology, openPublisher } from '@weir/connect-rabbitmq';
import { spawnApp, until } from '@weir/testkit';
import { bench, log } from '../../apps/gateway/src/gateway.fixture.ts';
import {
  buildPage,
  type Look,
  openPage,
  overflow,
  type Page,
  textOf,
  violations,
} from '../../apps/gateway/src/page.fixture.ts';

buildPage();

const scope = { after };
const it = await bench(scope);
const told: string[] = [];
const receiver = createServer((request, response) => {
  request.on('data', (chunk: Buffer) => told.push(chunk.toString()));
  request.on('end', () => response.end('thanks'));
});
await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
after(() => new Promise((resolve) => receiver.close(resolve)));
const { port } = receiver.address() as { port: number };
const settings = join(it.space.folder, 'weir.yaml');
writeFileSync(
  settings,
  `alerter:
  rules: [{ id: too-warm, metric: temperature, above: 30, clear: 29, severity: critical }]
  notifiers: [{ id: ops, kind: webhook, url: "http://127.0.0.1:${port}/" }]
`,
);
const env = { ...it.space.env, WEIR_CONFIG: settings, WEIR_EDGE__ANONYMOUS: 'true' };
const [edge] = await Promise.all([
  spawnApp(scope, 'edge', env, { readyMs: 60_000 }),
  spawnApp(scope, 'alerter', env, { readyMs: 60_000 }),
  spawnApp(scope, 'dead-letters', env, { readyMs: 60_000 }),
  spawnApp(scope, 'lag-monitor', env, { readyMs: 60_000 }),
]);
await it.app.stop();
await it.app.restart(env);

const TOPIC = 'telemetry/v1/hall';
const devices = await openClient({
  url: `mqtt://127.0.0.1:${1883 + it.space.portOffset}`,
  clientId: 'hall-gateway',
});
after(() => devices.close());
/** Two kinds of bytes that are no reading, and two devices that are too warm. */
for (let n = 0; n < 12; n++) {
  await devices.publish(
    `${TOPIC}/pump-${n % 3}/temperature`,
    n % 4 === 0 ? 'not a number' : '{"value":"hot"}',
    1,
  );
}
for (const device of ['pump-1', 'pump-2']) {
  await devices.publish(`${TOPIC}/${device}/temperature`, JSON.stringify({ ts: Date.now(), value: 35 }), 1);
}
assert.ok(edge.pid > 0);

const open = (t: TestContext, look: Look): Promise<Page> => openPage(it, t, look);
const rowsOf = (page: Page, of: string) => page.locator(`table[data-${of}] tbody tr`);

test('an alert is acknowledged and silenced on the page, and the audit trail knows who and why', async (t) => {
  const page = await open(t, { path: '/alerts' });
  await rowsOf(page, 'alerts').nth(1).waitFor();
  await page.locator('[data-notifier=ops]').getByText('works').waitFor();
  await page.getByRole('button', { name: 'too-warm' }).first().click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('ops').first().waitFor();
  await dialog.getByRole('button', { name: 'Acknowledge' }).click();
  await dialog.getByLabel('Why').fill('looking at it');
  await dialog.getByLabel('Your name').fill('Ann Øst');
  await dialog.getByRole('button', { name: 'Acknowledge' }).click();
  await dialog.getByText('by Ann Øst').waitFor();
  await dialog.getByRole('button', { name: 'Silence …' }).click();
  await dialog.getByLabel('Why').fill('planned work');
  await dialog.getByRole('button', { name: 'Silence', exact: true }).click();
  await dialog.getByRole('button', { name: 'Close' }).click();
  const silences = page.locator('section', { has: page.locator('#silences-title') });
  await silences.getByText('planned work').waitFor();
  const trail = await it.database.query<{ actor: string; action: string; why: string }>(
    'reading the audit trail',
    'SELECT actor, action, why FROM audit_trail ORDER BY id',
  );
  assert.deepEqual(
    trail.map(({ actor, why }) => [actor, why]),
    [
      ['Ann Øst', 'looking at it'],
      ['Ann Øst', 'planned work'],
    ],
  );
  await silences.getByRole('button', { name: 'End …' }).click();
  await page.getByRole('dialog').getByLabel('Why').fill('done');
  await page.getByRole('dialog').getByRole('button', { name: 'End it now' }).click();
  await silences.getByText('None is in force.').waitFor();
});

test('a rule is made on the page and fires within seconds; a wrong one is refused with its reason', async (t) => {
  const page = await open(t, { path: '/alerts' });
  // The browser reports the refusal itself, too.
  page.removeAllListeners('console');
  await page.getByRole('button', { name: 'New rule …' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name', { exact: true }).fill('too-cold');
  await dialog.getByLabel('Rule, as in weir.yaml').fill('{"metric":"temperature"}');
  await dialog.getByLabel('Why').fill('winter');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await dialog.getByRole('alert').waitFor();
  assert.match(await textOf(page, '[role=alert]'), /above|below/);
  await dialog.getByLabel('Rule, as in weir.yaml').fill('{"metric":"temperature","below":5}');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await dialog.waitFor({ state: 'detached' });
  await page.locator('[data-rule=too-cold]').waitFor();
  const row = rowsOf(page, 'alerts').filter({ hasText: 'too-cold' });
  await until(
    async () => {
      await devices.publish(`${TOPIC}/pump-0/temperature`, JSON.stringify({ ts: Date.now(), value: 1 }), 1);
      return (await row.count()) > 0;
    },
    { deadlineMs: 20_000, what: 'the new rule to fire', everyMs: 500 },
  );
});

test('a notifier is tested on the page, and says what came back', async (t) => {
  const page = await open(t, { path: '/alerts' });
  await page.getByRole('button', { name: 'Send a test to ops' }).click();
  await page
    .locator('[data-notifier=ops]')
    .getByText(/^Taken in/)
    .waitFor();
  assert.ok(told.some((body) => /test/i.test(body)));
});

test('dead letters: by kind, the bytes in text and hex, an edit, a plan that says what the replay then does', async (t) => {
  const page = await open(t, { path: '/dead-letters' });
  await rowsOf(page, 'groups').nth(1).waitFor();
  await page.locator('.section-head [role=status]', { hasText: /^12, the oldest/ }).waitFor();
  await page.locator('.facet', { hasText: 'schema' }).first().click();
  await page.waitForURL(/reason=schema/);
  await rowsOf(page, 'letters').first().locator('button').click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('The original as text').waitFor();
  assert.equal(await dialog.getByLabel('The original as text').inputValue(), '{"value":"hot"}');
  assert.match(await dialog.getByLabel('The original in hex').inputValue(), /7b 22 76 61 6c 75 65 22/);
  await dialog.getByRole('button', { name: 'Close' }).click();

  await page.getByRole('button', { name: 'Edit …' }).click();
  await dialog.getByLabel('JSON patch (RFC 6902)').fill('[{"op":"replace","path":"/value","value":21.5}]');
  await dialog.getByLabel('Why').fill('the firmware sent words');
  await dialog.getByRole('button', { name: /^Edit 9/ }).click();
  await dialog.getByText('9 edited.').waitFor();
  await dialog.getByRole('button', { name: 'Close' }).click();

  await page.getByRole('button', { name: /^Replay 9/ }).click();
  await dialog.getByLabel('Why').fill('mended');
  await dialog.getByRole('button', { name: 'Plan it' }).click();
  await dialog.locator('[data-plan]').waitFor();
  assert.match((await dialog.locator('[data-plan]').textContent()) ?? '', /To be sent9/);
  await dialog.getByLabel('Why').fill('go');
  await dialog.getByRole('button', { name: 'Send 9' }).click();
  await page.locator('.replay-done').getByText('9 of 9: 9 sent').waitFor();

  await page.goto(`${it.app.url}/dead-letters?reason=decode`);
  await page.getByRole('button', { name: 'Park …' }).click();
  await dialog.getByLabel('Why').fill('nothing to save');
  await dialog.getByRole('button', { name: /^Park 3/ }).click();
  await dialog.getByText('3 parked.').waitFor();
});

test('lag: a queue that nobody reads leads the list, its window says why, what to do and shows the last hour', async (t) => {
  const queue = 'weir.pages.unread';
  const rabbitmq = { url: it.space.rabbitmqUrl };
  const quorum = { name: queue, arguments: { 'x-queue-type': 'quorum' }, bindings: [] };
  await applyTopology(rabbitmq, { exchanges: [], queues: [quorum] });
  const publisher = openPublisher({ ...rabbitmq, log });
  const message = { exchange: '', key: queue, body: Buffer.from('x'), contentType: 'text/plain' };
  await publisher.publish([message, message, message]);
  await publisher.close();
  const page = await open(t, { path: '/lag' });
  const row = page.locator(`tr[data-group="${queue}"][data-verdict=STOP]`);
  await row.waitFor();
  assert.match((await row.textContent()) ?? '', /STOP.*rabbitmq/s);
  await row.getByRole('button').click();
  await page.waitForURL(/system=rabbitmq&group=weir.pages.unread/);
  const dialog = page.getByRole('dialog');
  await dialog.locator('[data-cause=no-consumer]').waitFor();
  await dialog.getByText('3 messages').waitFor();
  await dialog.locator('.chart').waitFor();
  await dialog.getByRole('button', { name: 'Close' }).click();
  await page.waitForURL((url) => !url.searchParams.has('group'));
});

for (const scheme of ['light', 'dark'] as const) {
  for (const path of ['/alerts', '/dead-letters', '/lag']) {
    test(`${path}, ${scheme}: nothing is wider than a phone, and axe finds nothing`, async (t) => {
      const page = await open(t, { width: 360, height: 740, scheme, path });
      await page.locator('table.rows tbody tr').first().waitFor();
      assert.equal(await overflow(page), 0);
      assert.deepEqual(await violations(page), []);
      await page.setViewportSize({ width: 1400, height: 900 });
      assert.equal(await overflow(page), 0);
      assert.deepEqual(await violations(page), []);
      await page.locator('table.rows tbody tr .link-button').first().click();
      if (path === '/dead-letters') await rowsOf(page, 'letters').first().locator('button').click();
      await page.getByRole('dialog').getByText('Close').waitFor();
      await page.setViewportSize({ width: 360, height: 740 });
      assert.equal(await overflow(page), 0);
      assert.deepEqual(await violations(page), []);
    });
  }
}
