import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Stage, type StageId, status } from '@weir/api';
import { parseMetrics } from '@weir/observe';
import { drawStatus, type Reading } from './draw.ts';
import { numbersOf, rateOf } from './numbers.ts';
import type { AppView, Probe } from './probe.ts';
import type { Snapshot } from './snapshot.ts';

const view = (page: string, missing: string[] = []): Probe<AppView> => ({
  ok: true,
  value: { metrics: parseMetrics(page), ready: missing.length === 0, missing },
});
const away = { ok: false, why: 'nothing listens on its port' } as const;

const edge = (lines: string, url = 'http://a:8081') => ({
  url,
  said: view(`# TYPE weir_ledger_readings_total counter\n${lines}`),
});
const noEdge = { url: 'http://a:8081', said: away };

function snapshot(at: number, edgeLines: string, more: Partial<Snapshot> = {}): Reading {
  const group = { lag: 0, worst: null };
  const made: Snapshot = {
    at,
    edges: [edge(edgeLines)],
    aggregator: view('# TYPE weir_windows_written_total counter\n'),
    archiver: view(''),
    alerter: view(''),
    deadLetters: view(''),
    kafka: {
      ok: true,
      value: { written: 10, partitions: 12, aggregator: group, archiver: group, deadLetters: 0 },
    },
    rabbitmq: { ok: true, value: [] },
    timescale: { ok: true, value: { firingAlerts: 0 } },
    minio: { ok: true, value: undefined },
    cache: 'ready',
    live: { clients: 0, connected: true, delivered: 0 },
    ...more,
  };
  return { at, snapshot: made, ...numbersOf(made) };
}
const accepted = (n: number) =>
  `weir_ledger_readings_total{app="edge",hop="edge",outcome="stored",reason=""} ${n}\n`;
const stageOf = (reading: Reading, id: StageId, before: Reading | null = null): Stage => {
  const found = status
    .parse({ ...drawStatus(reading, before), doors: { mqtt: 1, http: 2 } })
    .stages.find((stage) => stage.id === id);
  assert.ok(found);
  return found;
};

test('metrics pages: labels, escapes, numbers, and what is declared but has not happened', () => {
  const page = parseMetrics(
    '# HELP a x\n# TYPE a counter\na{hop="x y",say="a\\"b\\\\c\\nd,e"} 1.5e3 1700000000000\na{hop="z"} 2\nb 7\n# TYPE c counter\nnonsense line here x\nd NaN\n',
  );
  assert.deepEqual(page.samples('a')[0], { labels: { hop: 'x y', say: 'a"b\\c\nd,e' }, value: 1500 });
  assert.equal(page.sum('a'), 1502);
  assert.equal(page.sum('a', { hop: 'z' }), 2);
  assert.equal(page.sum('a', { hop: 'none' }), 0);
  assert.equal(page.sum('b'), 7);
  assert.equal(page.sum('c'), 0, 'declared: it has not happened yet');
  assert.equal(page.sum('nobody'), null, 'not declared: unknown');
});

test('a rate is growth over time, and unknown after a restart, a gap or an absence', () => {
  const a = snapshot(1_000, accepted(100));
  const b = snapshot(3_000, accepted(300));
  assert.equal(rateOf('accepted', b, a), 100);
  assert.equal(rateOf('accepted', b, null), null);
  assert.equal(rateOf('accepted', a, b), null, 'time went back');
  assert.equal(rateOf('accepted', snapshot(3_000, accepted(5)), a), null, 'the counter began anew');
  assert.equal(rateOf('accepted', snapshot(3_000, '', { edges: [noEdge] }), a), null);
});

test('everything well', () => {
  const said = drawStatus(snapshot(3_000, accepted(300)), snapshot(1_000, accepted(100)));
  assert.equal(said.state, 'ok');
  assert.equal(said.figures.readingsPerSecond, 100);
  assert.equal(said.figures.acknowledged, 300);
  assert.equal(said.figures.windowsWritten, 0);
  assert.ok(said.stages.every(({ state }) => state === 'ok'));
});

test('the edge is away: it is down, what only it knows is unknown, its figures are not zero', () => {
  const reading = snapshot(1_000, '', { edges: [noEdge] });
  assert.equal(stageOf(reading, 'edge').state, 'down');
  assert.equal(stageOf(reading, 'devices').state, 'unknown');
  assert.equal(stageOf(reading, 'spool').state, 'unknown');
  assert.equal(drawStatus(reading, null).figures.acknowledged, null);
  assert.equal(drawStatus(reading, null).state, 'down');
});

test('of several edges each is shown, and the figures are their sums', () => {
  const two = (at: number, a: number, b: number | null): Reading =>
    snapshot(at, '', {
      edges: [
        edge(accepted(a)),
        b === null ? { ...noEdge, url: 'http://b:8201' } : edge(accepted(b), 'http://b:8201'),
      ],
    });
  const before = two(1_000, 100, 1_000);
  const well = drawStatus(two(3_000, 300, 1_100), before);
  assert.deepEqual([well.figures.readingsPerSecond, well.figures.acknowledged], [150, 1_400]);
  assert.deepEqual(
    well.edges.map(({ url, state, readingsPerSecond, acknowledged }) => [
      ...[url, state, readingsPerSecond, acknowledged],
    ]),
    [
      ['http://a:8081', 'ok', 100, 300],
      ['http://b:8201', 'ok', 50, 1_100],
    ],
  );
  const one = two(5_000, 500, null);
  const said = drawStatus(one, two(3_000, 300, 1_100));
  assert.deepEqual([said.figures.readingsPerSecond, said.state], [100, 'degraded']);
  assert.deepEqual(
    said.edges.map(({ state }) => state),
    ['ok', 'down'],
  );
  assert.equal(
    stageOf(one, 'edge').detail,
    'The edge at http://b:8201 does not answer: nothing listens on its port.',
  );
  const back = drawStatus(two(7_000, 700, 5_000), one);
  assert.equal(back.figures.readingsPerSecond, 100, 'what it counted meanwhile is no rate');
  assert.equal(stageOf(snapshot(1, '', { edges: [noEdge, noEdge] }), 'edge').state, 'down');
});

test('a full spool is down, one that keeps for a broker is degraded', () => {
  const types = '# TYPE weir_backpressure_state gauge\n';
  const full = snapshot(1, `${types}weir_backpressure_state{hop="device-gate"} 2\n`);
  assert.equal(stageOf(full, 'spool').state, 'down');
  assert.equal(stageOf(full, 'edge').state, 'degraded');
  const held = snapshot(
    1,
    `${types}weir_backpressure_state{hop="device-gate"} 0\nweir_backpressure_state{hop="forward-kafka"} 2\n`,
  );
  assert.equal(stageOf(held, 'spool').state, 'degraded');
  assert.match(stageOf(held, 'spool').detail, /^Keeps what Kafka cannot take now/);
});

test('lag, readiness, dead letters and a lost cache are degraded, each with its sentence', () => {
  const kafka = {
    ok: true,
    value: {
      ...{ written: 9, partitions: 12, deadLetters: 3 },
      aggregator: { lag: 12_345, worst: null },
      archiver: { lag: null, worst: null },
    },
  } as const;
  const queue = {
    ...{ unacked: 0, bytes: 0, consumers: 0, publishRate: 0, deliverRate: 0 },
    ...{ done: 0, headAt: null, type: 'quorum', exclusive: false, arguments: {} },
  };
  const reading = snapshot(1, '', {
    kafka,
    alerter: view('', ['database: away']),
    cache: 'away',
    rabbitmq: {
      ok: true,
      value: [
        { ...queue, name: 'weir.alerter.telemetry', ready: 5 },
        { ...queue, name: 'weir.alerter.telemetry.dlq', ready: 2 },
      ],
    },
  });
  assert.equal(stageOf(reading, 'aggregator').detail, '12,345 records behind the end of the log.');
  assert.equal(stageOf(reading, 'alerter').detail, 'Not ready: database: away.');
  assert.equal(stageOf(reading, 'timescale').state, 'degraded');
  assert.equal(stageOf(reading, 'rabbitmq').state, 'degraded');
  assert.equal(stageOf(reading, 'archiver').state, 'ok', 'an unknown lag is no lag to complain about');
  const { figures, state } = drawStatus(reading, null);
  assert.equal(state, 'degraded');
  assert.equal(figures.deadLetters, 5);
  assert.equal(figures.archiveLag, null);
});

test('dead letters: what is open in the index is the figure, and their app has a stage of its own', () => {
  const page =
    '# TYPE weir_dlq_depth gauge\nweir_dlq_depth{source="mqtt",reason="late"} 4\nweir_dlq_depth{source="kafka",reason="late"} 3\n' +
    '# TYPE weir_dlq_oldest_age_seconds gauge\nweir_dlq_oldest_age_seconds{source="mqtt",reason="late"} 60\nweir_dlq_oldest_age_seconds{source="kafka",reason="late"} 90\n';
  const reading = snapshot(1, '', { deadLetters: view(page) });
  const { state, figures } = stageOf(reading, 'dead-letters');
  assert.equal(state, 'ok');
  assert.deepEqual(
    figures.map(({ name, value }) => [name, value]),
    [
      ['open', 7],
      ['oldest', 90],
      ['replays', null],
    ],
  );
  assert.equal(drawStatus(reading, null).figures.deadLetters, 7);
  const gone = snapshot(1, '', { deadLetters: away });
  assert.equal(stageOf(gone, 'dead-letters').state, 'down');
  assert.equal(drawStatus(gone, null).figures.deadLetters, 0, 'what the brokers have');
});

test('what the archiver holds for its next object is no lag; what waits too long or is not read is', () => {
  const kafka = {
    ok: true,
    value: {
      ...{ written: 9, partitions: 12, deadLetters: 0 },
      aggregator: { lag: 0, worst: null },
      archiver: { lag: 20_000, worst: null },
    },
  } as const;
  const archiver = (held: number, oldest: number) =>
    stageOf(
      snapshot(1, '', {
        kafka,
        archiver: view(
          `# TYPE weir_ledger_in_flight gauge\nweir_ledger_in_flight{hop="archiver"} ${held}\n# TYPE weir_archive_oldest_unarchived_seconds gauge\nweir_archive_oldest_unarchived_seconds ${oldest}\n`,
        ),
      }),
      'archiver',
    );
  assert.equal(archiver(19_900, 45).state, 'ok');
  assert.equal(archiver(1_000, 45).detail, '19,000 records behind the end of the log.');
  assert.equal(archiver(20_000, 240).detail, 'Its oldest reading has waited 240 s for its object.');
});
