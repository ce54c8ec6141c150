import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { alertList, device, deviceList, latest, problem, status, windowList } from '@weir/api';
import { until } from '@weir/testkit';
import { type Answer, bench, storeAlert, storeWindows } from './gateway.fixture.ts';

const start = new Date(Math.floor(Date.now() / 60_000) * 60_000 - 600_000);
const at = (seconds: number): string => new Date(start.getTime() + seconds * 1_000).toISOString();
/** Stages that are well here. */
const SERVERS = ['kafka', 'rabbitmq', 'minio', 'timescale', 'live'] as const;
const alertIds = Array.from({ length: 5 }, () => randomUUID()).sort();
// At the top, not in a hook: what is registered with `after` inside a hook would run when that hook ends.
const it = await bench({ after }, { WEIR_GATEWAY__CACHE_TTL: '1s', WEIR_GATEWAY__STALE_TTL: '60s' });
const { database } = it;
await storeWindows(
  database,
  { site: 'hall', device: 'pump-1', metric: 'temperature', unit: 'C' },
  start,
  120,
);
await storeWindows(database, { site: 'hall', device: 'pump-1', metric: 'pressure', unit: null }, start, 30);
await storeWindows(database, { site: 'hall', device: 'twin', metric: 'load', unit: '%' }, start, 5);
await storeWindows(database, { site: 'yard', device: 'twin', metric: 'load', unit: '%' }, start, 7);
await storeWindows(database, { site: 'yard', device: 'größe 50%', metric: 'load', unit: '%' }, start, 3);
await database.query(
  'adding many devices',
  `INSERT INTO series (site, device, metric)
   SELECT 'mill', 'bulk-' || lpad(n::text, 3, '0'), 'speed' FROM generate_series(1, 120) n`,
);
for (const [i, id] of alertIds.entries()) {
  const state = i === 4 ? 'firing' : i === 3 ? 'pending' : 'resolved';
  const severity = i === 4 ? 'critical' : 'warning';
  await storeAlert(database, {
    id,
    device: `pump-${i}`,
    state,
    severity,
    updatedAt: new Date(start.getTime() + i * 1_000),
  });
}

function isProblem(answer: Answer, status: number, code: string): void {
  assert.equal(answer.status, status, JSON.stringify(answer.body));
  assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/);
  const said = problem.parse(answer.body);
  assert.equal(said.code, code);
  assert.equal(said.status, status);
  assert.equal(said.requestId, answer.headers.get('x-request-id'));
}

/** Follows Link: rel=next until there is none; at most 50 pages. */
async function pages(path: string): Promise<Answer[]> {
  const all: Answer[] = [];
  for (let next: string | undefined = path; next !== undefined; ) {
    const answer: Answer = await it.get(next);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    all.push(answer);
    assert.ok(all.length <= 50, 'the pages come to an end');
    next = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1];
    assert.equal(next === undefined, answer.body.next === null);
  }
  return all;
}

test('devices come in pages, each device once, by site and name', async () => {
  const answers = await pages('/api/v1/devices?limit=50');
  assert.equal(answers.length, 3);
  const devices = answers.flatMap((answer) => deviceList.parse(answer.body).devices);
  const keys = devices.map(({ site, id }) => `${site}/${id}`);
  assert.equal(new Set(keys).size, 124);
  assert.deepEqual(keys.slice(0, 2), ['hall/pump-1', 'hall/twin']);
  const pump = devices[0];
  assert.deepEqual(pump?.metrics, [
    { name: 'pressure', unit: null },
    { name: 'temperature', unit: 'C' },
  ]);
  assert.equal(pump?.lastSeen, at(119));
});

test('devices are found by a part of the name or site, and by site', async () => {
  const found = async (query: string) =>
    deviceList
      .parse((await it.get(`/api/v1/devices?${query}`)).body)
      .devices.map(({ site, id }) => `${site}/${id}`);
  assert.deepEqual(await found('q=UMP'), ['hall/pump-1']);
  assert.deepEqual(await found('q=twin&site=yard'), ['yard/twin']);
  assert.deepEqual(await found('q=bulk-00&limit=3'), ['mill/bulk-001', 'mill/bulk-002', 'mill/bulk-003']);
  assert.deepEqual(await found(`q=${encodeURIComponent('50%')}`), ['yard/größe 50%']);
  assert.deepEqual(await found('q=nobody'), []);
});

test('one device, its newest values, and a name that two sites have', async () => {
  const one = await it.get('/api/v1/devices/pump-1');
  assert.equal(device.parse(one.body).site, 'hall');
  const values = latest.parse((await it.get('/api/v1/devices/pump-1/latest')).body);
  assert.deepEqual(values.values, [
    { metric: 'pressure', unit: null, value: 29, at: at(29) },
    { metric: 'temperature', unit: 'C', value: 119, at: at(119) },
  ]);
  isProblem(await it.get('/api/v1/devices/nobody'), 404, 'device-not-found');
  isProblem(await it.get('/api/v1/devices/nobody/latest'), 404, 'device-not-found');
  isProblem(await it.get('/api/v1/devices/twin/latest'), 409, 'device-ambiguous');
  isProblem(await it.get('/api/v1/devices/twin/latest?site=moon'), 404, 'device-not-found');
  const yard = latest.parse((await it.get('/api/v1/devices/twin/latest?site=yard')).body);
  assert.equal(yard.values[0]?.value, 6);
  const odd = await it.get(`/api/v1/devices/${encodeURIComponent('größe 50%')}/latest`);
  assert.equal(latest.parse(odd.body).values[0]?.value, 2);
});

test('windows at a level, in pages, with the figures of the rows', async () => {
  const path = '/api/v1/devices/pump-1/windows?metric=temperature';
  const ten = windowList.parse((await it.get(`${path}&level=10s&from=${at(0)}&to=${at(120)}`)).body);
  assert.equal(ten.windows.length, 12);
  assert.equal(ten.unit, 'C');
  assert.deepEqual(ten.windows[1], {
    ...{ start: at(10), end: at(20), count: 10, eventsPerSecond: 1, sum: 145, min: 10, max: 19, mean: 14.5 },
    ...{ stddev: Math.sqrt(82.5 / 9), first: 10, firstAt: at(10), last: 19, lastAt: at(19), rateOfChange: 1 },
    ...{ median: 15, p50: 15, p90: 18, p99: 19, revision: 0, isClosed: true, isFinal: false },
  });
  const answers = await pages(`${path}&level=1s&from=${at(0)}&to=${at(120)}&limit=50`);
  const starts = answers.flatMap((answer) =>
    windowList.parse(answer.body).windows.map((window) => window.start),
  );
  assert.deepEqual(
    starts,
    Array.from({ length: 120 }, (_unused, i) => at(i)),
  );
  const half = windowList.parse((await it.get(`${path}&level=1s&from=${start.getTime()}&to=${at(60)}`)).body);
  assert.equal(half.windows.at(-1)?.start, at(59), '`to` is exclusive; `from` may be epoch milliseconds');
});

test('without a level the range chooses one', async () => {
  const levelOf = async (range: number) => {
    const path = `/api/v1/devices/pump-1/windows?metric=temperature&from=${at(-range)}&to=${at(0)}`;
    return windowList.parse((await it.get(path)).body).level;
  };
  assert.deepEqual(await Promise.all([300, 601, 7_200, 86_400, 604_800, 2_592_000].map(levelOf)), [
    '1s',
    '10s',
    '1m',
    '5m',
    '1h',
    '1h',
  ]);
});

test('alerts by change, filtered and in pages', async () => {
  const all = (await pages('/api/v1/alerts?limit=2')).flatMap(
    (answer) => alertList.parse(answer.body).alerts,
  );
  assert.deepEqual(
    all.map(({ id }) => id),
    alertIds.toReversed(),
  );
  const firing = alertList.parse((await it.get('/api/v1/alerts?state=firing')).body).alerts;
  assert.deepEqual(
    firing.map(({ device: name, severity }) => [name, severity]),
    [['pump-4', 'critical']],
  );
  const mine = alertList.parse((await it.get('/api/v1/alerts?device=pump-1&severity=warning')).body).alerts;
  assert.equal(mine.length, 1);
  assert.equal(mine[0]?.resolvedAt, at(1));
  const [{ rule } = { rule: '' }] = firing;
  const ofRule = async (name: string): Promise<number> =>
    alertList.parse((await it.get(`/api/v1/alerts?rule=${name}`)).body).alerts.length;
  assert.deepEqual(
    [await ofRule(rule), await ofRule('another')],
    [all.filter((one) => one.rule === rule).length, 0],
  );
});

test('what the API does not accept is a problem that names the part', async () => {
  const windows = '/api/v1/devices/pump-1/windows';
  const wrong: Record<string, string> = {
    [`${windows}`]: 'metric',
    [`${windows}?metric=temperature&level=2s`]: 'level',
    [`${windows}?metric=temperature&from=yesterday`]: 'from',
    [`${windows}?metric=temperature&from=${at(10)}&to=${at(10)}`]: 'from',
    [`${windows}?metric=temperature&limit=0`]: 'limit',
    [`${windows}?metric=temperature&colour=red`]: 'colour',
    [`${windows}?metric=temperature&from=${at(0)}&cursor=W10`]: 'cursor',
    '/api/v1/devices?limit=501': 'limit',
    '/api/v1/devices?cursor=%25': 'cursor',
    '/api/v1/devices?cursor=bm9uc2Vuc2U': 'cursor',
    '/api/v1/alerts?state=burning': 'state',
  };
  for (const [path, part] of Object.entries(wrong)) {
    const answer = await it.get(path);
    isProblem(answer, 400, 'bad-request');
    assert.ok(answer.body.detail.includes(part), `${path}: ${answer.body.detail}`);
  }
  isProblem(await it.get('/api/v1/nothing'), 404, 'not-found');
  isProblem(await it.get('/api/v1/live'), 426, 'upgrade-required');
  const post = (body: string) =>
    fetch(`${it.app.url}/api/v1/devices`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    });
  for (const [body, code] of [
    ['{', 'bad-request'],
    ['{"__proto__":{}}', 'bad-request'],
    ['{}', 'not-found'],
  ] as const) {
    assert.equal(problem.parse(await (await post(body)).json()).code, code, body);
  }
});

test('an answer is a miss, then a hit, then stale; its ETag saves the body', async () => {
  let path = '';
  let limit = 1;
  // On a busy machine Redis may miss its 40 ms, and is then left alone for a second: another question, until it takes one.
  const miss = await until(
    async () => {
      path = `/api/v1/devices?q=pump-1&limit=${limit++}`;
      const answer = await it.get(path);
      return answer.headers.get('cache-status') === 'weir-gateway; fwd=uri-miss; stored' && answer;
    },
    { deadlineMs: 20_000, what: 'a miss that is stored', everyMs: 100 },
  );
  assert.equal(miss.headers.get('age'), '0');
  const hit = await until(
    async () => {
      const answer = await it.get(path);
      return answer.headers.get('cache-status')?.startsWith('weir-gateway; hit;') && answer;
    },
    { deadlineMs: 20_000, what: 'a hit', everyMs: 100 },
  );
  const etag = hit.headers.get('etag') ?? '';
  assert.equal(etag, miss.headers.get('etag'));
  assert.deepEqual(hit.body, miss.body);
  for (const header of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const same = await it.get(path, { 'if-none-match': header });
    assert.equal(same.status, 304, header);
    assert.equal(same.body, '');
    assert.equal(same.headers.get('etag'), etag);
  }
  assert.equal((await it.get(path, { 'if-none-match': '"other"' })).status, 200);
  await until(
    async () => (await it.get(path)).headers.get('cache-status') === 'weir-gateway; fwd=stale; stored',
    { deadlineMs: 20_000, what: 'an answer that had to be renewed', everyMs: 100 },
  );
  const metrics = await it.app.metrics();
  for (const result of ['hit', 'miss', 'stale']) {
    assert.match(metrics, new RegExp(`weir_cache_requests_total\\{result="${result}".*\\} [1-9]`));
  }
});

test('the database is away: what is cached is served as stale, anything else is a problem with Retry-After', async () => {
  const path = '/api/v1/devices/pump-1/latest';
  const fresh = await it.get(path);
  await until(async () => (await it.get(path)).headers.get('cache-status')?.includes('hit'), {
    deadlineMs: 15_000,
    what: 'the answer to be kept',
    everyMs: 100,
  });
  for (const away of ['cut', 'freeze'] as const) {
    await (away === 'cut' ? it.wires.timescale.cut() : it.wires.timescale.freeze(true));
    const stale = await until(
      async () => {
        const answer = await it.get(path);
        return answer.headers.get('cache-status')?.includes('stale-if-error') && answer;
      },
      { deadlineMs: 20_000, what: `a stale answer (${away})`, everyMs: 100 },
    );
    assert.equal(stale.status, 200);
    assert.match(
      stale.headers.get('cache-status') ?? '',
      /^weir-gateway; hit; ttl=-\d+; detail=stale-if-error$/,
    );
    assert.ok(Number(stale.headers.get('age')) >= 1);
    assert.deepEqual(stale.body, fresh.body);
    const none = await it.get(`/api/v1/devices?q=${away}`);
    isProblem(none, 503, 'database-away');
    assert.equal(none.headers.get('retry-after'), '2');
    await (away === 'cut' ? it.wires.timescale.mend() : it.wires.timescale.freeze(false));
    await until(async () => (await it.get(path)).headers.get('cache-status')?.includes('stored'), {
      deadlineMs: 20_000,
      what: `fresh answers again (${away})`,
      everyMs: 100,
    });
  }
});

test('Redis is away or silent: answers come from the database, not much later', async () => {
  await it.get('/api/v1/devices?limit=1');
  for (const away of ['cut', 'freeze'] as const) {
    await (away === 'cut' ? it.wires.redis.cut() : it.wires.redis.freeze(true));
    const path = `/api/v1/devices?limit=1&q=${away}`;
    const bypass = await until(
      async () => {
        const answer = await it.get(path);
        return answer.headers.get('cache-status')?.includes('fwd=bypass') && answer;
      },
      { deadlineMs: 15_000, what: `answers past the cache (${away})`, everyMs: 100 },
    );
    assert.equal(bypass.headers.get('cache-status'), 'weir-gateway; fwd=bypass; detail=redis-away');
    assert.equal(bypass.status, 200);
    await (away === 'cut' ? it.wires.redis.mend() : it.wires.redis.freeze(false));
    await until(async () => (await it.get(path)).headers.get('cache-status')?.includes('hit'), {
      deadlineMs: 15_000,
      what: `the cache again (${away})`,
      everyMs: 100,
    });
  }
});

test('the status shows parts that do not answer as down, and never fails', async () => {
  // A Kafka that has just begun has no place for the offsets of groups yet, and answers no question about them.
  const said = await until(
    async () => {
      const found = status.parse((await it.get('/api/v1/status')).body);
      const ok = found.stages.filter(({ state }) => state === 'ok').map(({ id }) => id);
      return SERVERS.every((id) => ok.includes(id)) && found;
    },
    { deadlineMs: 30_000, what: 'the servers to answer', everyMs: 250 },
  );
  const stateOf = Object.fromEntries(said.stages.map(({ id, state }) => [id, state]));
  // Only the servers run here, and the gateway.
  for (const id of ['edge', 'aggregator', 'archiver', 'alerter', 'dead-letters'])
    assert.equal(stateOf[id], 'down', id);
  for (const id of ['devices', 'spool']) assert.equal(stateOf[id], 'unknown', id);
  assert.equal(said.state, 'down');
  assert.equal(said.figures.firingAlerts, 1);
  assert.equal(said.figures.deadLetters, 0);
  assert.equal(said.figures.lag, null, 'a group that never committed has an unknown lag, not none');
  assert.equal(
    said.stages.find(({ id }) => id === 'edge')?.detail,
    'The edge does not answer: nothing listens on its port.',
  );
});

test('the document is valid OpenAPI 3.1 and describes every path', async () => {
  const document = await it.get('/api/v1/openapi.json');
  assert.equal(document.body.openapi.slice(0, 3), '3.1');
  const verdict = await new Validator().validate(document.body);
  assert.ok(verdict.valid, JSON.stringify(verdict.errors));
  assert.deepEqual(Object.keys(document.body.paths).sort(), [
    '/api/v1/alert-rules',
    '/api/v1/alert-rules/{id}',
    '/api/v1/alerts',
    '/api/v1/alerts/{id}',
    '/api/v1/alerts/{id}/ack',
    '/api/v1/commands',
    '/api/v1/commands/{id}',
    '/api/v1/dead-letters',
    '/api/v1/dead-letters/audit',
    '/api/v1/dead-letters/edit',
    '/api/v1/dead-letters/facets',
    '/api/v1/dead-letters/park',
    '/api/v1/dead-letters/purge',
    '/api/v1/dead-letters/unpark',
    '/api/v1/dead-letters/{id}',
    '/api/v1/dead-letters/{id}/bytes',
    '/api/v1/devices',
    '/api/v1/devices/{id}',
    '/api/v1/devices/{id}/anomaly',
    '/api/v1/devices/{id}/commands',
    '/api/v1/devices/{id}/expression',
    '/api/v1/devices/{id}/latest',
    '/api/v1/devices/{id}/liveness',
    '/api/v1/devices/{id}/series',
    '/api/v1/devices/{id}/summary',
    '/api/v1/devices/{id}/views',
    '/api/v1/devices/{id}/windows',
    '/api/v1/lag',
    '/api/v1/lag/history',
    '/api/v1/lag/{system}/{group}',
    '/api/v1/lag/{system}/{group}/explain',
    '/api/v1/ledger',
    '/api/v1/maintenance-windows',
    '/api/v1/maintenance-windows/{id}',
    '/api/v1/notifiers',
    '/api/v1/notifiers/{id}/test',
    '/api/v1/pressure',
    '/api/v1/replays',
    '/api/v1/replays/{id}',
    '/api/v1/replays/{id}/cancel',
    '/api/v1/replays/{id}/letters',
    '/api/v1/replays/{id}/pause',
    '/api/v1/replays/{id}/resume',
    '/api/v1/rollups',
    '/api/v1/rollups/windows',
    '/api/v1/silences',
    '/api/v1/silences/{id}',
    '/api/v1/status',
    '/api/v1/subscriptions',
    '/api/v1/subscriptions/{id}',
    '/api/v1/subscriptions/{id}/messages',
  ]);
  const page = await it.get('/docs');
  assert.match(String(page.body), /swagger-ui/);
});

test('headers: security on everything, limits on the API', async () => {
  for (const path of ['/', '/api/v1/status', '/nothing']) {
    const { headers } = await it.get(path);
    assert.match(headers.get('content-security-policy') ?? '', /default-src 'none'; script-src 'self'/, path);
    assert.equal(headers.get('x-content-type-options'), 'nosniff');
    assert.equal(headers.get('referrer-policy'), 'no-referrer');
  }
  const { headers } = await it.get('/api/v1/status');
  assert.match(headers.get('ratelimit') ?? '', /^"api";r=\d+;t=\d+$/);
  assert.equal(headers.get('ratelimit-policy'), '"api";q=600;w=60');
  assert.equal(headers.get('cache-control'), 'no-store');
});

test('admin paths', async () => {
  assert.equal((await it.get('/livez')).body.app, 'gateway');
  assert.equal((await it.get('/readyz')).body.ready, true);
  assert.equal((await it.get('/version')).body.app, 'gateway');
  assert.match(
    String((await it.get('/metrics')).body),
    /weir_http_request_seconds_count\{.*route="\/api\/v1\/devices\/:id"/,
  );
});
