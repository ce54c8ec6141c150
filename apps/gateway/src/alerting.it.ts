import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { alertingVersion, answerTest, openTests, readAudit } from '@weir/connect-timescale';
import { isolated, until } from '@weir/testkit';
import { bench, storeAlert } from './gateway.fixture.ts';

const ID = '00000000-0000-8000-8000-000000000001';
const hot = { metric: 'temperature', above: 80, hold: '90s' };

test('people acknowledge, silence and change rules; everything is checked, audited and seen by the alerter', async (t) => {
  const { folder } = await isolated(t, {});
  const config = join(folder, 'weir.yaml');
  const rules = [
    { id: 'hot', ...hot },
    { kind: 'correlation', id: 'many', rule: 'hot', devices: 3, within: '30s' },
  ];
  const notifiers = [{ id: 'ops', kind: 'webhook', url: 'http://127.0.0.1:9/' }];
  writeFileSync(config, JSON.stringify({ alerter: { rules, notifiers } }));
  const { app, database, get } = await bench(t, { WEIR_CONFIG: config });
  const tell = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(`${app.url}/api/v1${path}`, {
      method,
      headers: { 'x-weir-actor': 'ada@host', 'content-type': 'application/json', ...headers },
      body: body === undefined ? '{}' : JSON.stringify(body),
    });
    const text = await response.text();
    return {
      status: response.status,
      etag: response.headers.get('etag') ?? '',
      body: text === '' ? undefined : JSON.parse(text),
    };
  };

  await t.test('acknowledging', async () => {
    await storeAlert(database, { id: ID, device: 'pump-7', state: 'firing', updatedAt: new Date() });
    assert.equal((await tell('POST', `/alerts/${ID}/ack`, {})).status, 400, 'without a reason');
    const taken = await tell('POST', `/alerts/${ID}/ack`, { why: 'on my way' });
    assert.deepEqual(
      [taken.status, taken.body.state, taken.body.acknowledgedBy],
      [200, 'acknowledged', 'ada@host'],
    );
    const again = await tell('POST', `/alerts/${ID}/ack`, { why: 'me too' });
    assert.equal(again.status, 422);
    assert.match(again.body.detail, /ada@host has acknowledged it at 20/);
    const { body } = await get(`/api/v1/alerts/${ID}`);
    assert.deepEqual(
      body.changes.map(({ state }: { state: string }) => state),
      ['acknowledged'],
    );
    assert.equal((await get('/api/v1/alerts/00000000-0000-8000-8000-000000000009')).status, 404);
  });

  await t.test('silences', async () => {
    const version = await alertingVersion(database);
    const to = new Date(Date.now() + 3_600_000).toISOString();
    const matchers = [{ name: 'site', value: 'plant-*' }];
    const made = await tell('POST', '/silences', { matchers, to, why: 'works' });
    assert.deepEqual(
      [made.status, made.body.state, made.body.by, made.body.to],
      [201, 'active', 'ada@host', to],
    );
    assert.notEqual(await alertingVersion(database), version);
    for (const wrong of [
      { matchers: [], to, why: 'x' },
      { matchers, to: '2020-01-01T00:00:00Z', why: 'x' },
      { matchers, to },
    ])
      assert.equal((await tell('POST', '/silences', wrong)).status, 400);
    assert.equal((await get('/api/v1/silences')).body.silences.length, 1);
    const ended = await tell('DELETE', `/silences/${made.body.id}?why=done`);
    assert.deepEqual([ended.status, ended.body.state], [200, 'expired']);
    assert.equal((await get('/api/v1/silences')).body.silences.length, 0);
    assert.equal((await get('/api/v1/silences?state=all')).body.silences.length, 1);
    assert.equal((await tell('DELETE', `/silences/${made.body.id}?why=again`)).status, 404);
  });

  await t.test('rules', async () => {
    const view = async (id: string) => (await get(`/api/v1/alert-rules/${id}`)).body;
    assert.deepEqual((await view('hot')).rule, {
      ...{ kind: 'threshold', id: 'hot', site: '*', severity: 'warning', labels: {}, device: '*' },
      ...{ metric: 'temperature', hold: '90s', above: 80 },
    });
    const cold = { metric: 'temperature', below: 5 };
    const made = await tell('PUT', '/alert-rules/cold', { rule: cold, why: 'frost' });
    assert.deepEqual([made.status, made.body.source, made.body.enabled], [201, 'api', true]);
    assert.equal((await tell('PUT', '/alert-rules/cold', { rule: cold, why: 'x' })).status, 428);
    const changed = await tell(
      'PUT',
      '/alert-rules/cold',
      { rule: { ...cold, below: 3 }, why: 'too early' },
      { 'if-match': made.etag },
    );
    assert.equal(changed.status, 200);
    assert.notEqual(changed.etag, made.etag);
    const stale = await tell('PUT', '/alert-rules/cold', { rule: cold, why: 'x' }, { 'if-match': made.etag });
    assert.equal(stale.status, 412);
    assert.match(stale.body.detail, /changed by ada@host at 20.*; read it again/);

    const wrong = await tell('PUT', '/alert-rules/bad', { rule: { metric: 'm', hold: '5' }, why: 'x' });
    assert.equal(wrong.status, 400);
    assert.deepEqual(
      wrong.body.errors.map(({ path }: { path: string }) => path),
      ['rule.hold'],
    );
    const orphan = await tell('PUT', '/alert-rules/hot', { rule: hot, enabled: false, why: 'x' });
    assert.equal(orphan.status, 400);
    assert.match(orphan.body.detail, /"many" could not be applied: rule: there is no rule "hot"/);
    const twice = await Promise.all(
      ['a', 'b'].map((why) => tell('PUT', '/alert-rules/new', { rule: cold, why })),
    );
    assert.deepEqual(twice.map(({ status }) => status).toSorted(), [201, 428], 'of two at a time one wins');

    assert.equal(
      (await tell('DELETE', '/alert-rules/hot?why=x', undefined, { 'if-match': '*' })).status,
      422,
    );
    assert.equal((await tell('DELETE', '/alert-rules/cold?why=x')).status, 428);
    const gone = await tell('DELETE', '/alert-rules/cold?why=summer', undefined, {
      'if-match': changed.etag,
    });
    assert.equal(gone.status, 204);
    assert.equal((await get('/api/v1/alert-rules/cold')).status, 404);
    const trail = await readAudit(database, { subject: 'cold', limit: 10 });
    assert.deepEqual(
      trail.map(({ action, why, actor }) => `${action} ${why} ${actor}`),
      [
        'alert-rule.delete summer ada@host',
        'alert-rule.update too early ada@host',
        'alert-rule.create frost ada@host',
      ],
    );
    assert.deepEqual(trail[1]?.before, { rule: { ...cold, id: 'cold' }, enabled: true, source: 'api' });
  });

  await t.test('maintenance windows', async () => {
    const bad = await tell('PUT', '/maintenance-windows/w', { window: { cron: 'now', for: '1h' }, why: 'x' });
    assert.equal(bad.status, 400);
    assert.match(bad.body.detail, /window\.cron: expected five fields of cron/);
    const made = await tell('PUT', '/maintenance-windows/w', {
      window: { cron: '0 2 * * 6', for: '2h', zone: 'Europe/Berlin', site: 'plant-1' },
      why: 'weekly',
    });
    const [window] = made.body.windows;
    assert.deepEqual([window.id, window.for, window.source], ['w', '2h', 'api']);
    assert.ok(Date.parse(window.nextAt) > Date.now());
    const removed = await tell('DELETE', '/maintenance-windows/w?why=over');
    assert.deepEqual(removed.body, { windows: [] });
  });

  await t.test('notifiers', async () => {
    const { body } = await get('/api/v1/notifiers');
    assert.deepEqual(
      body.notifiers.map(({ id, state }: { id: string; state: string }) => `${id} ${state}`),
      ['weir.alerts unknown', 'ops unknown'],
    );
    assert.equal((await tell('POST', '/notifiers/nobody/test')).status, 404);
    const asked = tell('POST', '/notifiers/ops/test');
    const [open] = await until(
      async () => {
        const tests = await openTests(database);
        return tests.length > 0 && tests;
      },
      { deadlineMs: 10_000, what: 'the request for a test' },
    );
    // In the place of the active alerter.
    await answerTest(database, open?.id ?? '', { ok: true, said: 'HTTP 204', tookMs: 12.5 });
    const { ok, said, message } = (await asked).body;
    assert.deepEqual([ok, said, message], [true, 'HTTP 204', `test/${open?.id}`]);
  });
});
