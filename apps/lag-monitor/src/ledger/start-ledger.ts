import { archiveRetention } from '@weir/config';
import { openAdmin } from '@weir/connect-kafka';
import { openStore } from '@weir/connect-minio';
import { vhostOf } from '@weir/connect-rabbitmq';
import { isFenced } from '@weir/connect-timescale';
import { every, isTransient, WeirError } from '@weir/flow';
import type { AppContext } from '@weir/lifecycle';
import { archiveBucket, kafkaTopology, QUEUES } from '@weir/topology';
import type { Act, Parts } from '../parts.ts';
import { addresses, type watchPressure } from '../pressure/index.ts';
import { Book } from './book.ts';
import { describeFlows } from './describe-flows.ts';
import { LedgerEvents } from './events.ts';
import { measureLedger } from './measure-ledger.ts';
import { tellAlarms } from './tell-alarms.ts';
import { ArchiveWatch } from './watch-archive.ts';

const BALANCE_MS = 3_000;
const ARCHIVE_MS = 10_000;

const DLQ_QUEUES = Object.values(QUEUES)
  .map(({ name }) => name)
  .filter((name) => name.endsWith('.dlq'));

/** Edges, the log and the windows → the balance; of the leader, the archive's objects and the alerts too. */
export function startLedger(
  context: AppContext,
  parts: Parts,
  pressure: Pick<ReturnType<typeof watchPressure>, 'counted'>,
): void {
  const { config, log, metrics, stopping } = context;
  const { database } = parts;
  const bucket = archiveBucket(config.namespace);
  const { readings, deadLetters, groups } = kafkaTopology(config.namespace);
  const book = new Book();
  const events = new LedgerEvents(log, metrics, book);
  const admin = openAdmin({
    brokers: config.kafka.brokers,
    clientId: 'weir-ledger',
    requestTimeoutMs: config.lagMonitor.deadline,
    log,
  });
  const store = openStore({ ...config.minio, idleTimeoutMs: config.lagMonitor.deadline });
  const measure = measureLedger({
    edges: addresses(context).flatMap(({ app, url }) => (app === 'edge' ? [url] : [])),
    ...{ admin, database, topic: readings.name, bucket },
    letters: { topic: deadLetters.name, group: groups.deadLetters, queues: DLQ_QUEUES },
    rabbitmq: {
      managementUrl: config.rabbitmq.managementUrl,
      vhost: vhostOf(config.rabbitmq.url),
    },
  });
  const archive = new ArchiveWatch({
    ...{ database, store, bucket, events },
    keepMs: archiveRetention(config.retention).keepMs,
  });
  const alarms = tellAlarms(book, events);

  context.answer('/ledger', () =>
    book.current === null
      ? { status: 503, body: { title: events.whyUnknown } }
      : { status: 200, body: book.current },
  );
  const balancing = every(BALANCE_MS, stopping, async () => {
    try {
      const { balance, began, unanswered, queueLetters } = await measure();
      book.enter(
        balance,
        { began, unanswered, flows: describeFlows(queueLetters, pressure.counted) },
        Date.now(),
      );
      events.balanced(book);
    } catch (error) {
      if (!isTransient(error)) throw error;
      events.failed('balance', error);
    }
  }).catch((error: unknown) => context.fatal('balancing the ledger', error));

  const act: Act = async ({ ended, transaction }) => {
    const guarded = async (what: 'balance' | 'archive', work: () => Promise<void>): Promise<void> => {
      try {
        await work();
      } catch (error) {
        if (ended.aborted) return;
        if (!(isTransient(error) || isNotYetMade(error)) || isFenced(error)) throw error;
        events.failed(what, error);
      }
    };
    await Promise.all([
      every(ARCHIVE_MS, ended, () =>
        guarded('archive', async () => {
          await archive.round();
          events.compared();
        }),
      ),
      every(BALANCE_MS, ended, () =>
        guarded('balance', () => transaction('telling of the ledger', (sql) => alarms(sql))),
      ),
    ]);
  };
  parts.whileLeading(act);
  context.onStop('settle', 'the ledger', () => balancing);
  context.onStop('close', 'Kafka and the archive of the ledger', async () => {
    await admin.close();
    store.close();
  });
}

/** The bucket of the archive is made by whoever comes first, and that need not be before this. */
const isNotYetMade = (error: unknown): boolean => error instanceof WeirError && error.code === 'WEIR_STATE';
