import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Ledger, ledger as ledgerShape } from '@weir/api';
import { openStore, parseArchiveKey } from '@weir/connect-minio';
import { acknowledgeAlert, openDatabase, readAlerts } from '@weir/connect-timescale';
import { createLogger } from '@weir/observe';
import { partitionOf } from '@weir/reading';
import { atEnd, type SpawnedApp, spawnApp, until } from '@weir/testkit';
import { archiveBucket, kafkaTopology, READINGS_PARTITIONS } from '@weir/topology';
import kafkajs from 'kafkajs';
import { type Pipeline, startPipeline } from '../support/pipeline.ts';

const log = createLogger({ app: 'test', level: 'error', format: 'json' });
/** Of a message; nobody else's count has it as a factor by chance. */
const READINGS = 7;
const NOBODY = '127.0.0.1:9';
/** The promise: a loss is shown within a minute. */
const SHOWN = { deadlineMs: 60_000, everyMs: 250 };

/** Publishes through the edge; resolves when all of it is acknowledged, which is when it is on disk. */
async function publish(
  { edgeUrl }: Pipeline,
  device: string,
  messages: number,
  mark = 'value',
): Promise<void> {
  for (let i = 0; i < messages; i++) {
    const ts = Date.now();
    const payload = Array.from({ length: READINGS }, (_, k) => ({
      ts: ts + k,
      seq: ts * 10 + k,
      values: { [mark]: k },
    }));
    const response = await fetch(`${edgeUrl}/ingest/v1/plant/${device}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(payload),
    });
    assert.ok(response.ok, `${response.status} ${await response.text()}`);
  }
}
async function publishAll(pipeline: Pipeline, messages: number): Promise<void> {
  for (let i = 0; i < 30; i++) await publish(pipeline, `pump-${i}`, messages);
}

async function askLedger(monitor: SpawnedApp): Promise<Ledger | null> {
  const response = await fetch(`${monitor.url}/ledger`);
  return response.ok ? ledgerShape.parse(await response.json()) : null;
}
const residuals = (found: Ledger): Record<string, number> =>
  Object.fromEntries(found.hops.map(({ hop, residual }) => [hop, residual]));

/** Everything that was acknowledged is in the windows, by an answer of the ledger that is younger than this call. */
async function settled(monitor: SpawnedApp): Promise<Ledger> {
  const asked = Date.now();
  let found: Ledger | null = null;
  await until(
    async () => {
      found = await askLedger(monitor);
      if (found === null || Date.parse(found.at) < asked || found.unanswered.length > 0) return false;
      return found.hops.every(({ inFlight }) => (inFlight ?? 0) === 0);
    },
    { ...SHOWN, what: 'nothing to be in flight' },
  );
  return found as unknown as Ledger;
}

async function spoolRecord(
  folder: string,
  mark: string,
): Promise<{ file: string; at: number; bytes: Buffer }> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.seg'));
  for (const name of names) {
    const file = join(folder, name);
    const bytes = await readFile(file);
    const at = bytes.indexOf(`"${mark}"`);
    if (at >= 0) return { file, at, bytes };
  }
  throw new Error(`no spool record with ${mark} in ${names.join(', ')}`);
}

test('restarts and kill -9 of every app leave no residual; what is taken away is missing, exactly and where it was', {
  timeout: 600_000,
}, async (t) => {
  const pipeline = await startPipeline(t, { readyMs: 60_000 });
  const { space, apps } = pipeline;
  const monitor = await spawnApp(t, 'lag-monitor', space.env, { readyMs: 60_000 });
  const seen: Ledger[] = [];
  const watching = new AbortController();
  const watch = (async () => {
    while (!watching.signal.aborted) {
      const found = await askLedger(monitor).catch(() => null);
      if (found !== null && found.at !== seen.at(-1)?.at) seen.push(found);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  })();
  atEnd(t, async () => {
    watching.abort();
    await watch;
  });

  await publishAll(pipeline, 2);
  const killed = async (...some: readonly SpawnedApp[]): Promise<void> => {
    await Promise.all(some.map((app) => app.kill('SIGKILL')));
    const sending = some.includes(apps.edge) ? Promise.resolve() : publishAll(pipeline, 1);
    await Promise.all(some.map((app) => app.restart()));
    await sending;
  };
  await killed(apps.aggregator, apps.archiver, apps.alerter);
  await killed(apps.edge, monitor);
  await publishAll(pipeline, 1);
  const stopped = [apps.edge, apps.aggregator, apps.archiver];
  for (const status of await Promise.all(stopped.map((app) => app.stop())))
    assert.deepEqual(status, { code: 0, signal: null });
  await Promise.all(stopped.map((app) => app.restart()));
  await publishAll(pipeline, 1);
  const clean = await settled(monitor);
  assert.deepEqual(residuals(clean), { spool: 0, kafka: 0, archive: 0, 'dead-letters': 0 });
  assert.equal(clean.totals.taken, clean.totals.sent);
  assert.equal(clean.totals.sent, 30 * READINGS * 5);
  const windows = clean.hops.find(({ hop }) => hop === 'kafka');
  assert.deepEqual([windows?.accepted, windows?.stored], [30 * READINGS * 5, 30 * READINGS * 5]);
  assert.ok(seen.length >= 3, `${seen.length} balances were seen`);
  for (const { residual, losses } of seen)
    assert.deepEqual([residual, losses], [0, []], 'never a false alarm');
  t.diagnostic(`${seen.length} balances, all without a residual`);

  // One record of the spool: taken while Kafka is away, damaged while the edge is.
  await apps.edge.kill('SIGKILL');
  await apps.edge.restart({ WEIR_KAFKA__BROKERS: NOBODY });
  await publishAll(pipeline, 1);
  await publish(pipeline, 'pump-3', 1, 'doomed');
  await publishAll(pipeline, 1);
  await apps.edge.kill('SIGKILL');
  const { file, at, bytes } = await spoolRecord(space.env.WEIR_EDGE__SPOOL__DIR ?? '', 'doomed');
  bytes[at + 2] = (bytes[at + 2] as number) ^ 1;
  await writeFile(file, bytes);
  const robbed = performance.now();
  await apps.edge.restart({ WEIR_KAFKA__BROKERS: space.brokers.join(',') });
  await settled(monitor);

  // A range of the log of one partition, before anybody has read it.
  await Promise.all([apps.aggregator.kill('SIGKILL'), apps.archiver.kill('SIGKILL')]);
  const partition = partitionOf('pump-5', READINGS_PARTITIONS);
  await publish(pipeline, 'pump-5', 3);
  await until(
    async () => {
      const ledger = await askLedger(monitor);
      assert.equal(ledger?.hops[1]?.inFlight, 3 * READINGS, JSON.stringify(ledger));
      return true;
    },
    { ...SHOWN, deadlineMs: 120_000, what: 'what was published to be in Kafka only' },
  );
  const { readings } = kafkaTopology(space.namespace);
  const admin = new kafkajs.Kafka({
    clientId: 'test',
    brokers: [...space.brokers],
    logLevel: kafkajs.logLevel.NOTHING,
  }).admin();
  await admin.connect();
  const end =
    (await admin.fetchTopicOffsets(readings.name)).find((one) => one.partition === partition)?.offset ?? '';
  await admin.deleteTopicRecords({ topic: readings.name, partitions: [{ partition, offset: end }] });
  await admin.disconnect();
  await Promise.all([apps.aggregator.restart(), apps.archiver.restart()]);

  // One object of the archive.
  const store = openStore({
    url: space.env.WEIR_MINIO__URL ?? '',
    accessKey: space.env.WEIR_MINIO__ACCESS_KEY ?? '',
    secretKey: space.env.WEIR_MINIO__SECRET_KEY ?? '',
  });
  atEnd(t, async () => store.close());
  const bucket = archiveBucket(space.namespace);
  let victim = { key: '', readings: 0 };
  for await (const { key } of store.list(bucket, 'raw/v1/')) {
    if (parseArchiveKey(key) === null) continue;
    const found = await store.stat(bucket, key);
    victim = { key, readings: Number(found?.metadata.readings) };
    break;
  }
  assert.ok(victim.readings > 0);
  await store.remove(bucket, [victim.key]);
  const expected = { spool: READINGS, kafka: 3 * READINGS, archive: victim.readings, 'dead-letters': 0 };
  const began = performance.now();
  await until(
    async () => {
      const found = await askLedger(monitor);
      return found !== null && JSON.stringify(residuals(found)) === JSON.stringify(expected);
    },
    { ...SHOWN, what: `a residual of ${JSON.stringify(expected)}` },
  ).catch(async (error: unknown) => {
    throw new Error(JSON.stringify(await askLedger(monitor)), { cause: error });
  });
  const found = (await askLedger(monitor)) as Ledger;
  assert.equal(found.losses.find(({ hop }) => hop === 'archive')?.object, victim.key);
  assert.equal(found.losses.find(({ hop }) => hop === 'kafka')?.partition, partition);
  t.diagnostic(found.text);
  t.diagnostic(
    `exact ${((performance.now() - began) / 1_000).toFixed(1)} s after the last sabotage, ${((performance.now() - robbed) / 1_000).toFixed(1)} s after the first`,
  );
  const inMetrics = new RegExp(`^weir_ledger_residual\\{[^}]*hop="kafka"[^}]*\\} ${3 * READINGS}$`, 'm');
  await until(async () => inMetrics.test(await monitor.metrics()), {
    ...SHOWN,
    what: 'the residual in the metrics',
  });

  // It stays when traffic goes on, becomes an alert, and ends when somebody takes note of it.
  await publishAll(pipeline, 1);
  const database = openDatabase({ url: space.timescaleUrl, log, poolSize: 1 });
  atEnd(t, () => database.close());
  await until(async () => (await readAlerts(database, 'ledger', 'firing')).length === 3, {
    ...SHOWN,
    what: 'three alerts',
  });
  assert.deepEqual(residuals(await settled(monitor)), expected);
  for (const { id } of await readAlerts(database, 'ledger', 'firing')) {
    await database.transaction('taking note', (sql) => acknowledgeAlert(sql, id, 'ada'));
  }
  await until(async () => (await askLedger(monitor))?.residual === 0, { ...SHOWN, what: 'no residual' });
  await until(async () => (await readAlerts(database, 'ledger', 'acknowledged')).length === 0, {
    ...SHOWN,
    what: 'the alerts to end',
  });
});
