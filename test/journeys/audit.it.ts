import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openStore } from '@weir/connect-minio';
import { atEnd, type Isolated, until, withDatabase } from '@weir/testkit';
import { archiveBucket, kafkaTopology, LEVELS } from '@weir/topology';
import kafkajs from 'kafkajs';
import { auditWindows } from '../support/audit.ts';
import { startPipeline, startWeir, weir } from '../support/pipeline.ts';
import { prove, wrongs } from '../support/proof.ts';
import { Traffic } from '../support/traffic.ts';

const TOPIC = 'telemetry/v1/plant-1';
const HOUR_MS = 3_600_000;

/** Repetitions, readings that are late within the bounds, and readings that are too late. */
function disturb(traffic: Traffic): void {
  const now = Date.now();
  traffic.devices.forEach((device, index) => {
    const id = `dev-${index}`;
    const send = (payload: object): void =>
      device.send({ topic: `${TOPIC}/${id}/temperature`, payload: JSON.stringify(payload) });
    const before = traffic.known.findLast((one) => one.device === id);
    if (before !== undefined) send({ ts: before.ts, seq: before.seq, value: before.value });
    const late = { ts: now - 60_000 - index, seq: 1_000_000 + now, value: index };
    send(late);
    traffic.known.push({ device: id, metric: 'temperature', ...late });
    send({ ts: now - 20 * 60_000, seq: 2_000_000 + now, value: index });
  });
}

const keysOf = async (space: Isolated): Promise<string[]> => {
  const store = openStore(space.minio);
  const keys: string[] = [];
  for await (const { key } of store.list(archiveBucket(space.namespace), 'raw/')) keys.push(key);
  store.close();
  return keys;
};

test('an audit is clean through duplicates, late readings and restarts, and names every sabotage', {
  timeout: 600_000,
}, async (t) => {
  const { space, apps, mqttPort } = await startPipeline(t);
  const traffic = new Traffic(t, { mqttPort, devices: 12, hertz: 5 });
  await traffic.start();
  for (const [at, signal] of [
    [200, 'SIGKILL'],
    [500, 'SIGTERM'],
    [800, 'SIGKILL'],
  ] as const) {
    await until(() => traffic.acknowledged > at, { deadlineMs: 60_000, what: `${at} readings` });
    disturb(traffic);
    if (signal === 'SIGKILL') await apps.aggregator.kill('SIGKILL');
    else await apps.aggregator.stop();
    await apps.aggregator.restart();
  }
  const running = await prove(space.env);
  assert.deepEqual([running.code, wrongs(running), running.findings], [0, {}, []], 'while readings arrive');
  await traffic.stop();
  await traffic.settled();
  await auditWindows(space, traffic.known, 60_000);
  const clean = await prove(space.env);
  assert.deepEqual([clean.code, clean.clean, wrongs(clean), clean.findings], [0, true, {}, []]);
  assert.ok((clean.counts.duplicate ?? 0) >= 12 && clean.counts.late === 36, JSON.stringify(clean.counts));
  for (const { table, tally } of clean.levels.slice(0, LEVELS.length))
    assert.ok(tally.equal >= 12 && tally.open === 0, `${table} ${JSON.stringify(tally)}`);

  // Only one device, only a range, and in another place.
  const one = await prove(space.env, '--device', 'dev-3');
  assert.ok(one.code === 0 && one.coverage.length === 1);
  const hours = one.levels.find(({ table }) => table === 'windows_1h')?.tally.equal ?? 0;
  assert.ok(hours >= 1 && hours <= 2, `${hours} hours of one device`);
  const last = traffic.known.reduce((newest, { ts }) => Math.max(newest, ts), 0);
  const from = new Date(last - 10_000).toISOString();
  const range = await prove(space.env, '--from', from, '--to', new Date(last).toISOString());
  const panes = range.levels[0]?.tally.equal ?? 0;
  // Seconds with a reading, those at the two ends perhaps; a busy machine may have left some out.
  const inRange = traffic.known.filter(({ ts }) => ts >= Math.floor(last / 1_000) * 1_000 - 10_000);
  const touched = new Set(inRange.map(({ device, ts }) => `${device} ${Math.floor(ts / 1_000)}`)).size;
  assert.ok(
    range.code === 0 && panes >= touched - 2 * 12 && panes <= touched && touched > 0,
    `${panes} panes of ${touched}`,
  );
  const elsewhere = await prove(space.env, '--scratch', space.stack.env.WEIR_TIMESCALE__URL ?? '');
  assert.deepEqual([elsewhere.code, elsewhere.levels], [0, clean.levels]);

  // One row less, one row more and one changed row at each level and in the roll-ups.
  await withDatabase(space.timescaleUrl, async (client) => {
    // Numbers have gaps: a killed transaction keeps those that it was given.
    const { rows } = await client.query<{ series_id: number }>(
      'SELECT series_id FROM series ORDER BY series_id',
    );
    const series = rows.map((row) => row.series_id);
    for (const [level, { table }] of LEVELS.entries()) {
      // Of another series at each level: without any row of its open windows a device could be one that is still heard.
      const newest = `SELECT max(ts) FROM ${table} WHERE series_id = ${series[level + 3]}`;
      await client.query(`DELETE FROM ${table} WHERE series_id = ${series[level + 3]} AND ts = (${newest})`);
      await client.query(
        `CREATE TEMP TABLE copy AS SELECT * FROM ${table} WHERE series_id = ${series[1]} ORDER BY ts LIMIT 1`,
      );
      await client.query(`UPDATE copy SET ts = ts + interval '30 days'`);
      await client.query(`INSERT INTO ${table} SELECT * FROM copy; DROP TABLE copy`);
      await client.query(
        `UPDATE ${table} SET max = max + 1e-9 WHERE series_id = ${series[2]} AND ts = (SELECT max(ts) FROM ${table} WHERE series_id = ${series[2]})`,
      );
    }
    await client.query(
      'UPDATE rollups_1m SET sum[1] = sum[1] + 1 WHERE rollup_id = (SELECT min(rollup_id) FROM rollups_1m)',
    );
    await client.query('DELETE FROM rollups_1h WHERE rollup_id = (SELECT max(rollup_id) FROM rollups_1h)');
  });
  const sabotaged = await prove(space.env);
  assert.equal(sabotaged.code, 1);
  const expected = Object.fromEntries(
    LEVELS.map(({ table }) => [table, { missing: 1, extra: 1, different: 1 }]),
  );
  const found = wrongs(sabotaged);
  assert.deepEqual(Object.fromEntries(LEVELS.map(({ table }) => [table, found[table]])), expected);
  assert.ok(
    (found.rollups_1m?.different ?? 0) >= 1 && (found.rollups_1h?.missing ?? 0) >= 1,
    JSON.stringify(found),
  );
  const examples = sabotaged.levels.flatMap((level) => level.examples);
  const changed = examples.filter(({ kind, table }) => kind === 'different' && table.startsWith('windows'));
  assert.deepEqual(
    changed.map(({ columns }) => Object.keys(columns)),
    LEVELS.map(() => ['max']),
  );
  for (const { of, offsets } of changed) {
    assert.equal(of?.metric, 'temperature');
    assert.ok((offsets?.list.length ?? 0) > 0, JSON.stringify(offsets));
  }

  // A range is mended without the rest: the rows that were added lie elsewhere.
  const text = await weir(
    space.env,
    ...['rebuild', '--yes', '--from', new Date(last - 24 * HOUR_MS).toISOString()],
    ...['--to', new Date(last + 24 * HOUR_MS).toISOString()],
  );
  assert.match(text, /windows were wrong and are as the log says now/);
  const mended = wrongs(await prove(space.env));
  assert.deepEqual(mended, Object.fromEntries(LEVELS.map(({ table }) => [table, { extra: 1 }])));
});

test('holes in the archive are found; what neither archive nor Kafka holds makes windows unprovable', {
  timeout: 600_000,
}, async (t) => {
  const { space, apps, mqttPort } = await startPipeline(t);
  const traffic = new Traffic(t, { mqttPort, devices: 12, hertz: 5 });
  await traffic.start();
  await until(async () => (await keysOf(space)).filter((key) => key.includes('/p4-')).length >= 4, {
    deadlineMs: 60_000,
    what: 'four objects of partition 4',
  });
  await traffic.stop();
  await traffic.settled();
  await auditWindows(space, traffic.known, 60_000);
  await apps.archiver.stop();
  const whole = await prove(space.env);
  assert.equal(whole.code, 0);

  const victim = (await keysOf(space)).filter((key) => key.includes('/p4-'))[1] as string;
  const [first, last] = [...victim.matchAll(/\d{20}/g)].map(Number) as [number, number];
  const store = openStore(space.minio);
  atEnd(t, () => store.close());
  const bucket = archiveBucket(space.namespace);
  const kept = await store.get(bucket, victim);
  await store.remove(bucket, [victim]);
  const gap = await prove(space.env);
  assert.deepEqual([gap.code, wrongs(gap)], [1, {}], 'Kafka still has the records');
  assert.deepEqual(gap.findings, [{ kind: 'gap', from: String(first), to: String(last + 1), partition: 4 }]);

  // Bytes that were changed are as good as gone.
  const bytes = Buffer.from(kept.body);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
  await store.put(bucket, victim, bytes, kept.metadata);
  const broken = await prove(space.env);
  assert.deepEqual([broken.code, broken.findings.map(({ kind }) => kind)], [1, ['unreadable', 'gap']]);
  await store.remove(bucket, [victim]);

  // Kafka forgets them, too.
  await apps.aggregator.stop();
  const kafka = new kafkajs.Kafka({
    clientId: 'test',
    brokers: [...space.brokers],
    logLevel: kafkajs.logLevel.NOTHING,
  });
  const admin = kafka.admin();
  await admin.connect();
  const topic = kafkaTopology(space.namespace).readings.name;
  const ends = await admin.fetchTopicOffsets(topic);
  await admin.deleteTopicRecords({
    topic,
    partitions: ends.map(({ partition, high }) => ({ partition, offset: high })),
  });
  await admin.disconnect();
  const lost = await prove(space.env);
  assert.deepEqual([lost.code, wrongs(lost)], [1, {}]);
  assert.deepEqual(
    lost.findings.map(({ kind, partition, from, to }) => [kind, partition, from, to]),
    [['lost', 4, String(first), String(last + 1)]],
  );
  const unprovable = lost.levels[0]?.tally.unprovable ?? 0;
  assert.ok(
    unprovable > 0 && (lost.levels[0]?.tally.equal ?? 0) + unprovable === whole.levels[0]?.tally.equal,
  );
  await assert.rejects(
    startWeir(space.env, 'rebuild', '--yes'),
    (error: { code?: number; stderr?: string }) =>
      error.code === 1 && /rebuild would lose the windows/.test(error.stderr ?? ''),
  );
  assert.deepEqual(wrongs(await prove(space.env)), {}, 'nothing was changed');
});
