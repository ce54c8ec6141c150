import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startPipeline, startWeir, weir } from '../support/pipeline.ts';
import { archiveLines, kafkaLines, windowedReadings } from '../support/sinks.ts';

interface Report {
  readonly site: string;
  readonly lost: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly sinks: Readonly<Record<string, Readonly<Record<string, number | null>>>>;
  readonly deadLetters: Readonly<Record<string, number>>;
  readonly freshMs: { readonly endToEnd: { readonly count: number } | null };
  readonly thresholds: readonly { readonly text: string; readonly passed: boolean }[];
}

/** Few devices of which every kind of disorder comes up, and one class of which all is malformed. */
const SCENARIO = `
name: mixed
duration: 6s
probes: 2
classes:
  - name: twice
    connect: { within: 0s }
    devices: 4
    rate: 5
    duplicate: 0.3
    outOfOrder: { share: 0.2, by: 450ms }
    metrics: [{ name: a, model: { kind: constant, value: 1 } }, { name: b }]
  - name: flapping
    connect: { within: 0s }
    devices: 3
    rate: 4
    qos: 2
    flapping: [{ share: 1, every: 3s, down: 500ms }]
    metrics: [{ name: c }]
  - name: broken
    connect: { within: 0s }
    devices: 2
    rate: 2
    malformed: 1
    metrics: [{ name: d }]
`;

test('a run tells what became of every reading, as counted by others, and its thresholds decide', async (t) => {
  const { space, mqttPort, apps } = await startPipeline(t);
  const scenario = join(space.folder, 'mixed.yaml');
  writeFileSync(scenario, SCENARIO);
  const html = join(space.folder, 'report.html');
  const edge = `127.0.0.1:${mqttPort}`;
  const report = JSON.parse(
    await weir(
      space.env,
      ...['fleet', 'load', scenario, '--edge', edge, '--html', html, '--json'],
      ...['--threshold', 'lost == 0', '--threshold', 'windows.duplicates == 0'],
    ),
  ) as Report;
  const { counts, sinks } = report;
  const readings = counts.sent ?? 0;
  // 4 × 5 Hz, 3 × 4 Hz and two probes at 1 Hz for 6 s; their phases decide about one more or less each.
  assert.ok(Math.abs(readings - 204) <= 9, `${readings} sent`);
  assert.equal(counts.acknowledged, readings);
  assert.equal(counts.malformed, 24);
  assert.equal(report.lost, 0);

  const own = ({ envelope }: { envelope: { site: string } }) => envelope.site.startsWith(report.site);
  const identity = ({ envelope }: { envelope: { device: string; payload?: unknown } }) =>
    `${envelope.device}#${(envelope.payload as { seq: number }).seq}`;
  const inKafka = (await kafkaLines(space)).filter(own);
  const inArchive = (await archiveLines(space)).filter(own);
  assert.equal(new Set(inKafka.map(identity)).size, readings);
  for (const [name, lines] of Object.entries({ kafka: inKafka, archive: inArchive })) {
    assert.equal(sinks[name]?.found, readings, name);
    assert.equal(sinks[name]?.duplicates, lines.length - readings, name);
    assert.equal(sinks[name]?.foreign, 0, name);
  }
  assert.ok((sinks.kafka?.duplicates ?? 0) >= (counts.sentTwice ?? 0) && (counts.sentTwice ?? 0) > 0);
  assert.ok((sinks.kafka?.reordered ?? 0) > 0);
  assert.equal(sinks.windows?.found, await windowedReadings(space));
  assert.equal(sinks.windows?.duplicates, 0);
  assert.equal(sinks.rabbitmq?.lost, 0);
  assert.deepEqual(report.deadLetters, { decode: 24 });
  assert.ok((report.freshMs.endToEnd?.count ?? 0) > 0);
  assert.match(readFileSync(html, 'utf8'), /^<!doctype html>/);

  // Without an archiver nothing arrives in the archive: what is lost there is told, and fails the run.
  await apps.archiver.stop();
  const failing = startWeir(
    space.env,
    ...['fleet', 'load', 'smoke', '--edge', edge, '--duration', '2s', '--devices', '4', '--sinks', 'archive'],
    ...['--settle', '1s', '--json'],
  );
  await assert.rejects(failing, (error: { code?: number; stdout?: string }) => {
    assert.equal(error.code, 1);
    const told = JSON.parse(error.stdout ?? '{}') as Report;
    assert.equal(told.lost, told.counts.acknowledged);
    assert.ok(told.lost > 0);
    assert.equal(told.thresholds.find(({ text }) => text === 'lost == 0')?.passed, false);
    return true;
  });
});

test('a fleet dials this machine only, and says what is wrong with a scenario', async () => {
  const refused = (sentence: RegExp, ...args: string[]) =>
    assert.rejects(startWeir({}, 'fleet', ...args), (error: { code?: number; stderr?: string }) => {
      assert.equal(error.code, 2);
      assert.match(error.stderr ?? '', sentence);
      return true;
    });
  await refused(/loads edges of this machine only/, 'load', 'smoke', '--edge', '192.0.2.1:1883');
  await refused(/Did you mean smoke\?/, 'load', 'smoek');
  await refused(/is no threshold/, 'load', 'smoke', '--edge', '127.0.0.1:1', '--threshold', 'fast');
});
