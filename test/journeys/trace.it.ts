import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openProducer } from '@weir/connect-kafka';
import { createLogger } from '@weir/observe';
import { ENVELOPE_CODEC, encodeEnvelope, envelopePrefix, partitionOf } from '@weir/reading';
import { atEnd, spawnApp, until, withDatabase } from '@weir/testkit';
import { kafkaTopology, LEVELS, RECORD_HEADERS } from '@weir/topology';
import kafkajs from 'kafkajs';
import { startPipeline, weir } from '../support/pipeline.ts';
import { indexed } from '../support/replays.ts';
import { archiveLines, deadLetters, kafkaLines, windowedReadings } from '../support/sinks.ts';

const SITE = 'plant';
const log = createLogger({ app: 'test', level: 'error', format: 'json' });
const DEVICE = 'pump-7';
const LIMIT_MS = 2_000;
const START = Math.floor(Date.now() / 1_000) * 1_000 - 300_000;
/** Records of other devices in the partition of the traced one, each with as many lines. */
const NOISE_RECORDS = 2_000;
const NOISE_LINES = 100;

interface Traced {
  readonly readings: readonly { readonly seq: number; readonly ts: string }[];
  readonly edge: { readonly id: string; readonly n: number; readonly at: string; readonly hlc?: string };
  readonly kafka: { readonly partition: number; readonly offset: string; readonly line: number };
  readonly archive: {
    readonly archived: boolean;
    readonly key: string | null;
    readonly storedAt: string | null;
  };
  readonly windows: {
    readonly rows: readonly {
      readonly level: string;
      readonly count: number | null;
      readonly isFinal: boolean;
    }[];
  };
  readonly deadLetters: readonly {
    readonly reason: string;
    readonly readings: readonly number[];
    readonly status: string | null;
  }[];
  readonly tookMs: number;
  readonly broughtBack: readonly { readonly reading: number }[];
}

test('a reading is traced through every hop in under 2 s, from Kafka and from the archive', {
  timeout: 600_000,
}, async (t) => {
  const lateness = { WEIR_AGGREGATOR__ALLOWED_LATENESS: '60s' };
  const { space, edgeUrl } = await startPipeline(t, { env: lateness });
  const publish = async (device: string, readings: readonly { ts: number; seq: number }[]): Promise<void> => {
    const body = JSON.stringify(readings.map(({ ts, seq }) => ({ ts, seq, value: seq / 2 })));
    const url = `${edgeUrl}/ingest/v1/${SITE}/${device}`;
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(url, { method: 'POST', body, headers });
    assert.equal(response.status, 202, await response.text());
  };
  const took: number[] = [];
  const trace = async (what: string): Promise<Traced> => {
    // A busy machine may hold one of them up; the same question three times it does not.
    for (let left = 2; ; left--) {
      const began = performance.now();
      const answer = JSON.parse(await weir(space.env, 'trace', what, '--search', '30s', '--json')) as Traced;
      const ms = performance.now() - began;
      t.diagnostic(`${what}: ${answer.tookMs} ms, ${Math.round(ms)} ms with the start of the process`);
      if (answer.tookMs >= LIMIT_MS && left > 0) continue;
      took.push(answer.tookMs);
      return answer;
    }
  };

  // 300 readings of the device among 200,000 lines of its partition.
  const { readings: topic } = kafkaTopology(space.namespace);
  const partition = partitionOf(DEVICE, topic.partitions);
  const noisy = Array.from({ length: 1_000 }, (_, i) => `other-${i}`).filter(
    (name) => partitionOf(name, topic.partitions) === partition,
  );
  const producer = openProducer({ brokers: space.brokers, clientId: 'test', log });
  atEnd(t, () => producer.close());
  let n = 0;
  const noise = (
    at: number,
  ): { partition: number; value: Buffer; headers: Record<string, string>; timestamp: number } => {
    const lines = Array.from({ length: NOISE_LINES }, (_, i) => {
      const device = noisy[i % noisy.length] as string;
      const prefix = envelopePrefix({ edge: 'edge-9/aaaaaaaaaaaa', site: SITE, device, via: 'mqtt' });
      const payload = `{"ts":${at},"seq":${n},"value":${i}}`;
      return encodeEnvelope(prefix, { n: n++, at }, Buffer.from(payload));
    });
    const headers = { [RECORD_HEADERS.codec]: ENVELOPE_CODEC, [RECORD_HEADERS.count]: String(NOISE_LINES) };
    return { partition, value: Buffer.concat(lines), headers, timestamp: at };
  };
  const ROUNDS = 30;
  for (let round = 0; round < ROUNDS; round++) {
    const seq = round * 10;
    await publish(
      DEVICE,
      Array.from({ length: 10 }, (_, i) => ({ ts: START + (seq + i) * 250, seq: seq + i })),
    );
    const records = Array.from({ length: NOISE_RECORDS / ROUNDS }, (_, i) =>
      noise(START + round * 2_500 + i),
    );
    await producer.send(topic.name, records);
  }
  const noiseReadings = Math.floor(NOISE_RECORDS / ROUNDS) * ROUNDS * NOISE_LINES;
  await publish(DEVICE, [{ ts: START + 100_000, seq: 300 }]);
  await publish(DEVICE, [
    { ts: START + 100_001, seq: 301 },
    { ts: START - 500_000, seq: 302 },
  ]);
  await until(async () => (await windowedReadings(space)) >= 302 + noiseReadings, {
    deadlineMs: 120_000,
    what: 'every reading but the late one in the windows',
  });
  await until(async () => (await deadLetters(space)).length === 1, {
    deadlineMs: 60_000,
    what: 'the dead letter',
  });

  const traced = START + 120 * 250;
  // The hour goes on: its row appears when the device has been silent for a while.
  await until(
    () =>
      withDatabase(space.timescaleUrl, async (client) => {
        const { rowCount } = await client.query(
          `SELECT FROM windows_1h w JOIN series s USING (series_id)
            WHERE s.device = $1 AND w.ts <= $2 AND w.ts > $2 - interval '1 hour'`,
          [DEVICE, new Date(traced)],
        );
        return rowCount === 1;
      }),
    { deadlineMs: 60_000, what: 'the windows of the traced reading at every level' },
  );
  const byTime = await trace(`${SITE}/${DEVICE}@${traced}`);
  assert.equal(byTime.readings.find(({ ts }) => Date.parse(ts) === traced)?.seq, 120);
  assert.equal(byTime.kafka.partition, partition);
  assert.deepEqual(
    byTime.windows.rows.map(({ level }) => level),
    LEVELS.map(({ name }) => name),
  );
  const counts = byTime.windows.rows.map(({ count }) => count ?? 0);
  assert.equal(counts[0], 4);
  assert.ok(counts[1] === 40 && counts.slice(2).every((count) => count >= 40), String(counts));
  assert.equal(byTime.windows.rows[0]?.isFinal, true);
  assert.deepEqual([byTime.deadLetters, byTime.broughtBack], [[], []]);

  const bySeq = await trace(`${SITE}/${DEVICE}#120`);
  assert.deepEqual(bySeq.kafka, byTime.kafka);
  const bySpool = await trace(`${byTime.edge.id}:${byTime.edge.n}`);
  assert.deepEqual(bySpool.kafka, byTime.kafka);
  const { offset, line } = byTime.kafka;
  const byPlace = await trace(`${partition}:${offset}:${line}`);
  assert.deepEqual(byPlace.edge, byTime.edge);
  const newest = await trace(`${SITE}/${DEVICE}`);
  assert.deepEqual(
    newest.readings.map(({ seq }) => seq),
    [301, 302],
  );
  assert.deepEqual(
    newest.deadLetters.map(({ reason, readings }) => [reason, readings]),
    [['late', [1]]],
  );

  const late = await trace(`${SITE}/${DEVICE}#302`);
  assert.equal(late.windows.rows.length, 6);
  assert.ok(
    late.windows.rows.every(({ count }) => count === null || count > 40),
    'no window of its own yet',
  );
  await Promise.all([spawnApp(t, 'dead-letters', space.env), spawnApp(t, 'gateway', space.env)]);
  await indexed(space, 1);
  await weir(space.env, 'dlq', 'replay', '--reason', 'late', '--why', 'trace', '--yes');
  await until(
    async () => {
      const { broughtBack, windows } = await trace(`${SITE}/${DEVICE}@${START - 500_000}`);
      return broughtBack.length === 1 && windows.rows[0]?.count === 1;
    },
    { deadlineMs: 60_000, what: 'the late reading to be brought back' },
  );

  // Nothing of that kind: what was searched is said.
  await assert.rejects(
    weir(space.env, 'trace', `${SITE}/${DEVICE}#9999`),
    /was not found\. Searched: Kafka partition \d+, offsets \d+ to \d+ \(it holds 0 to \d+\)/,
  );
  await assert.rejects(
    weir(space.env, 'trace', `${SITE}/nobody`),
    /was not found\. Searched: Kafka partition/,
  );
  await assert.rejects(weir(space.env, 'trace', 'nobody'), /names no reading\. These forms do/);

  // Kafka lets go of all of it; the archive has it.
  await until(async () => (await archiveLines(space)).length === (await kafkaLines(space)).length, {
    deadlineMs: 60_000,
    what: 'the archive to hold the log',
    everyMs: 1_000,
  });
  const archived = await trace(`${SITE}/${DEVICE}#120`);
  assert.ok(archived.archive.archived && archived.archive.key !== null && archived.archive.storedAt !== null);
  const kafka = new kafkajs.Kafka({ brokers: [...space.brokers], logLevel: kafkajs.logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  atEnd(t, () => admin.disconnect());
  const letGo = async (name: string): Promise<void> => {
    const ends = await admin.fetchTopicOffsets(name);
    await admin.deleteTopicRecords({
      topic: name,
      partitions: ends.map((end) => ({ partition: end.partition, offset: end.high })),
    });
  };
  // Of the letters first: the index has them.
  await letGo(kafkaTopology(space.namespace).deadLetters.name);
  assert.deepEqual(
    (await trace(`${SITE}/${DEVICE}#302`)).deadLetters.map(({ reason, readings, status }) => ({
      ...{ reason, readings, status },
    })),
    [{ reason: 'late', readings: [1], status: 'replayed' }],
  );
  await letGo(topic.name);
  for (const form of [
    `${SITE}/${DEVICE}#120`,
    `${SITE}/${DEVICE}@${START + 120 * 250}`,
    `${partition}:${offset}:${line}`,
    `${byTime.edge.id}:${byTime.edge.n}`,
  ]) {
    const { edge, archive, windows } = await trace(form);
    assert.deepEqual(
      [edge, archive, windows.rows],
      [archived.edge, archived.archive, archived.windows.rows],
      form,
    );
  }
  const text = await weir(space.env, 'trace', `${SITE}/${DEVICE}#120`);
  for (const hop of ['reading', 'edge', 'Kafka', 'archive', 'windows', 'dead letter', 'alert'])
    assert.match(text, new RegExp(`^${hop} `, 'm'));
  assert.ok(Math.max(...took) < LIMIT_MS, `the slowest took ${Math.round(Math.max(...took))} ms`);
});
