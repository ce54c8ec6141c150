import { hostname } from 'node:os';
import { neededLogMs } from '@weir/config';
import { openProducer } from '@weir/connect-kafka';
import {
  derivationPart,
  deviceState,
  ledgerPart,
  openDatabase,
  PartitionWriter,
  rollupPart,
  windowRules,
} from '@weir/connect-timescale';
import type { AppContext } from '@weir/lifecycle';
import { HopTime, observeCall } from '@weir/observe';
import { kafkaTopology } from '@weir/topology';
import { groupings } from '@weir/windows';
import { Committer } from './committer.ts';
import { aggregatorEvents, aggregatorGauges } from './events.ts';
import { maintain } from './maintenance.ts';
import { maintenanceEvents } from './maintenance-events.ts';
import { Membership } from './membership.ts';
import { Partitions } from './partitions.ts';
import { bury } from './steps/bury-lines.ts';
import { checkLog } from './steps/check-log.ts';
import { claim } from './steps/claim-partition.ts';
import { fold } from './steps/fold-records.ts';

const LAST_COMMIT_MS = 8_000;
/**
 * Compressed bytes of one partition in an answer; four times that are unpacked at once. Measured over a backlog of
 * 600,000 readings: 603 MiB resident with 1 MiB, 410 MiB with 128 KiB, at the same CPU; over one of 100,000 series 405 to
 * 446 MiB with 128 KiB, 389 to 417 MiB with this.
 */
const FETCH_BYTES = 64 << 10;

/** Kafka readings → claim → fold into windows → rows and offset in one transaction → group commit. */
export async function aggregate(context: AppContext): Promise<void> {
  const { config, log, metrics, stopping } = context;
  const { readings, deadLetters, groups } = kafkaTopology(config.namespace);
  const { statementTimeout, poolSize, url } = config.timescale;
  const events = aggregatorEvents(metrics, log);
  const kafka = {
    brokers: config.kafka.brokers,
    clientId: 'weir-aggregator',
    requestTimeoutMs: config.kafka.requestTimeout,
    log,
  };
  const database = openDatabase({
    url,
    poolSize,
    statementTimeoutMs: statementTimeout,
    log,
    name: 'weir-aggregator',
  });
  const producer = openProducer(kafka);
  const partitions = new Partitions(config.aggregator.maxUncommitted);
  const giveUp = new AbortController();
  const time = new HopTime();
  const windows = {
    outOfOrdernessMs: config.aggregator.outOfOrderness,
    allowedLatenessMs: config.aggregator.allowedLateness,
    idleTimeoutMs: config.aggregator.idleTimeout,
    dedupHorizonMs: config.aggregator.dedupHorizon,
    dedupCount: config.aggregator.dedupCount,
  };
  const owner = `${hostname()}/${process.pid}`;
  const topic = { topic: readings.name, partitions: readings.partitions, owner, windows };
  const buryConfig = { readings: readings.name, deadLetters, group: groups.aggregator };

  const ledger = ledgerPart(readings.name);
  const writer = new PartitionWriter({
    database,
    topic: readings.name,
    parts: [
      derivationPart({ metrics: config.derived, counts: events.derived }),
      deviceState(windows.outOfOrdernessMs),
      rollupPart({
        groupings: groupings(config.rollups.by, config.devices),
        onMissing: events.rollupsMissing,
      }),
      ledger,
    ],
    onRowsExisted: events.rowsExisted,
  });
  const committer = new Committer({
    intervalMs: config.aggregator.commitInterval,
    partitions,
    writer,
    time,
    events,
    bury: bury(buryConfig, producer),
    committed: (offsets) => membership.commit(offsets),
    fenced: () => membership.joinAgain(),
    giveUp: giveUp.signal,
  });
  const membership = new Membership({
    consumer: {
      ...kafka,
      groupId: groups.aggregator,
      topic: readings.name,
      sessionTimeoutMs: config.kafka.sessionTimeout,
      maxBytesPerPartition: FETCH_BYTES,
    },
    partitions,
    events,
    stopping,
    claim: claim(topic, database, writer, events),
    fold: fold(partitions, ledger, events),
    flush: () => committer.commit(),
    fatal: (error) => context.fatal('reading from Kafka', error),
  });
  aggregatorGauges(metrics, {
    used: () => partitions.used,
    limit: config.aggregator.maxUncommitted,
    waiting: () => partitions.waiting,
    oldest: () => partitions.oldest,
    commitIntervalMs: config.aggregator.commitInterval,
    time,
    watermark: () =>
      Math.max(...partitions.all().map(({ state }) => state.newest)) - windows.outOfOrdernessMs,
    owned: () => partitions.all().length,
  });
  observeCall(metrics, {
    ...{ to: 'timescale', deadlineMs: statementTimeout, parallel: poolSize },
    state: () => (database.healthy ? 'ok' : 'failing'),
  });
  context.readyWhen('kafka', () => membership.ready());
  context.readyWhen(
    'database',
    () => database.healthy || 'the database is away, or the schema is missing (`weir up` makes it)',
  );

  stopping.addEventListener('abort', () => {
    setTimeout(() => giveUp.abort(stopping.reason), LAST_COMMIT_MS).unref();
    partitions.end();
  });
  context.onStop('settle', 'the last commit and the Kafka group', () => membership.stop());
  context.onStop('flush', 'the commit loop', () => committer.stop());
  context.onStop('close', 'connections', async () => {
    await Promise.all([producer.close(), database.close()]);
  });
  const upkeep = {
    ...windows,
    url,
    holder: owner,
    intervalMs: config.retention.interval,
    compressAfterMs: config.retention.compressAfter,
    rules: windowRules(config.retention.windows),
  };
  const maintenance = maintain(upkeep, database, maintenanceEvents(metrics, log), stopping);
  context.onStop('settle', 'the maintenance job', () => maintenance);
  checkLog(kafka, readings.name, neededLogMs(config), stopping).then(
    (short) => short !== null && events.logTooShort(short),
    () => undefined, // stopped before Kafka answered
  );
  committer.run(stopping).catch((error: unknown) => {
    if (!stopping.aborted) context.fatal('committing windows', error);
  });
  await membership.start();
}
