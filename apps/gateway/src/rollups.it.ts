import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { expressionValues, rollupList, rollupWindowList } from '@weir/api';
import { bench, foldReadings, type SentReading } from './gateway.fixture.ts';

const MINUTE = 60_000;
const OPTIONS = {
  outOfOrdernessMs: 2_000,
  allowedLatenessMs: 600_000,
  idleTimeoutMs: 60_000,
  dedupHorizonMs: 60_000,
  dedupCount: 64,
};
const T0 = Math.floor(Date.now() / 600_000) * 600_000 - 600_000;
const at = (seconds: number): string => new Date(T0 + seconds * 1_000).toISOString();
const DEVICES = ['a', 'b', 'c', 'd'].map((device, i) => ({ device, site: i < 3 ? 'hall' : 'yard', i }));

/** Three minutes: `heat` every second, `speed` every second but for the second minute. */
const readings: SentReading[] = [];
for (let second = 0; second < 180; second++) {
  for (const { device, site, i } of DEVICES) {
    const ts = T0 + second * 1_000 + i * 100;
    readings.push({ site, device, metric: 'heat', ts, value: 100 * (i + 1) + (second % 10) });
    if (second < 60 || second >= 120)
      readings.push({ site, device, metric: 'fan-speed', ts, value: second < 120 ? 10 : 0 });
  }
}
// The watermarks pass the third minute.
for (const { device, site } of DEVICES)
  readings.push({ site, device, metric: 'heat', ts: T0 + 3 * MINUTE + 5_000, value: 0 });

const it = await bench({ after }, { WEIR_GATEWAY__CACHE_TTL: '1s' });
await foldReadings(it.database, readings, OPTIONS, 97);

test('the groups are listed in pages', async () => {
  const groups: string[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const answer = await it.get(`/api/v1/rollups?limit=4${cursor === '' ? '' : `&cursor=${cursor}`}`);
    const page = rollupList.parse(answer.body);
    groups.push(...page.rollups.map(({ group, groupedBy, metric }) => `${group} ${groupedBy} ${metric}`));
    assert.equal(answer.headers.has('link'), page.next !== null);
    cursor = page.next;
  }
  assert.deepEqual(groups, [
    'fleet fleet fan-speed',
    'fleet fleet heat',
    'site=hall site fan-speed',
    'site=hall site heat',
    'site=yard site fan-speed',
    'site=yard site heat',
  ]);
});

test('windows of a group have the figures of all its readings', async () => {
  const path = `/api/v1/rollups/windows?group=site=hall&metric=heat&level=1m&from=${at(0)}&to=${at(180)}`;
  const answer = await it.get(path);
  const { windows, ...rest } = rollupWindowList.parse(answer.body);
  assert.deepEqual(rest, {
    ...{ group: 'site=hall', groupedBy: 'site', metric: 'heat', level: '1m', seconds: 60 },
    ...{ from: at(0), to: at(180), since: null, next: null },
  });
  assert.equal(windows.length, 3);
  const values = [100, 200, 300].flatMap((base) => Array.from({ length: 60 }, (_, i) => base + (i % 10)));
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const squares = values.reduce((a, b) => a + (b - mean) ** 2, 0);
  const { stddev, median, p50, p90, p99, ...exact } = windows[1] as (typeof windows)[number];
  assert.deepEqual(exact, {
    ...{ start: at(60), end: at(120), devices: 3, count: 180, eventsPerSecond: 3 },
    ...{ sum: mean * 180, mean, min: 100, max: 309 },
    ...{ first: 100, firstAt: at(60), firstDevice: 'hall/a' },
    ...{ last: 309, lastAt: at(119.2), lastDevice: 'hall/c' },
  });
  assert.ok(Math.abs((stddev ?? 0) - Math.sqrt(squares / 179)) < 1e-9);
  assert.equal(median, p50);
  for (const [found, wanted] of [
    [p50, 204],
    [p90, 306],
    [p99, 309],
  ] as const)
    assert.ok(Math.abs(found - wanted) <= 0.02 * wanted, `${found} for ${wanted}`);

  const fleet = rollupWindowList.parse(
    (
      await it.get(
        `/api/v1/rollups/windows?group=fleet&metric=fan-speed&level=1m&from=${at(0)}&to=${at(180)}`,
      )
    ).body,
  );
  assert.deepEqual(
    fleet.windows.map(({ start, devices, count, mean: average }) => [start, devices, count, average]),
    [
      [at(0), 4, 240, 10],
      [at(120), 4, 240, 0],
    ],
  );
  const again = await it.get(path, { 'if-none-match': answer.headers.get('etag') ?? '' });
  assert.equal(again.status, 304);
});

test('windows come in pages, and the range chooses the level', async () => {
  const path = `/api/v1/rollups/windows?group=fleet&metric=heat&from=${at(0)}&to=${at(180)}`;
  const starts: string[] = [];
  for (let cursor = ''; ; ) {
    const page = rollupWindowList.parse((await it.get(`${path}&limit=7${cursor}`)).body);
    assert.equal(page.level, '10s');
    starts.push(...page.windows.map(({ start }) => start));
    if (page.next === null) break;
    cursor = `&cursor=${page.next}`;
  }
  assert.deepEqual(
    starts,
    Array.from({ length: 18 }, (_, i) => at(i * 10)),
  );
});

test('a group that there is not is told from one that is not configured', async () => {
  const say = async (query: string) => {
    const { status, body } = await it.get(`/api/v1/rollups/windows?${query}`);
    return [status, body.code, body.detail];
  };
  assert.deepEqual((await say('group=site=moon&metric=heat')).slice(0, 2), [404, 'group-not-found']);
  assert.match((await say('group=fleet&metric=none'))[2], /No reading of none/);
  assert.match((await say('group=line=a&metric=heat'))[2], /rollups\.by/);
  assert.deepEqual((await say('group=fleet&metric=heat&level=1s')).slice(0, 2), [400, 'bad-request']);
});

test('an expression over windows of two metrics is null where one of them has none', async () => {
  const ask = async (expr: string, more = '') => {
    const query = `expr=${encodeURIComponent(expr)}&level=1m&from=${at(0)}&to=${at(180)}${more}`;
    return it.get(`/api/v1/devices/b/expression?${query}`);
  };
  const answer = expressionValues.parse((await ask("(heat.max - heat.min) / 'fan-speed'.mean")).body);
  assert.deepEqual([answer.device, answer.site, answer.level, answer.next], ['b', 'hall', '1m', null]);
  assert.deepEqual(answer.values, [
    { start: at(0), value: 0.9 },
    { start: at(60), value: null },
    { start: at(120), value: null },
  ]);
  const first = expressionValues.parse((await ask('heat.count', '&limit=2')).body);
  assert.deepEqual(
    first.values.map(({ value }) => value),
    [60, 60],
  );
  const rest = expressionValues.parse((await ask('heat.count', `&limit=2&cursor=${first.next}`)).body);
  assert.deepEqual(rest.values, [{ start: at(120), value: 60 }]);
  for (const [expr, why] of [
    ['heat', /heat needs a figure, such as heat\.count/],
    ['heat.meen', /no such figure/],
    ['heat.mean +', /Expected expression after/],
    ['cold.mean', /no reading of cold/],
    ['heat.firstAt', /no such figure/],
  ] as const) {
    const { status, body } = await ask(expr);
    assert.equal(status, 400, expr);
    assert.match(body.detail, why);
  }
});
