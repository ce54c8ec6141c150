import type { Config } from '@weir/config';
import { openLogReader } from '@weir/connect-kafka';
import { openArchive } from '@weir/connect-minio';
import { openDatabase } from '@weir/connect-timescale';
import type { AuditOptions, ReplayProgress } from '@weir/replay';
import { archiveBucket, kafkaTopology } from '@weir/topology';
import { Finished } from '../finished.ts';
import { number } from '../output.ts';
import type { Progress } from '../progress.ts';
import { quietLogger } from '../settings.ts';

type Everything = Pick<
  AuditOptions,
  'archive' | 'log' | 'database' | 'url' | 'open' | 'topic' | 'partitions' | 'windows' | 'maxFutureMs'
>;

/** A transaction over 100,000 readings, and the index of a large table, take their time. */
const STATEMENT_MS = 600_000;

/** Opens everything that a replay reads, and closes it when `work` has ended. */
export async function withSources<T>(config: Config, work: (sources: Everything) => Promise<T>): Promise<T> {
  const { readings } = kafkaTopology(config.namespace);
  const { aggregator, edge, kafka, minio, namespace, timescale } = config;
  const logger = quietLogger();
  const open = (url: string, poolSize = 4) =>
    openDatabase({ url, log: logger, poolSize, statementTimeoutMs: STATEMENT_MS, name: 'weir replay' });
  const archive = openArchive({ ...minio, bucket: archiveBucket(namespace) });
  const log = openLogReader({ brokers: kafka.brokers, clientId: 'weir', log: logger }, readings.name);
  const database = open(timescale.url, 2);
  try {
    return await work({
      archive,
      log,
      database,
      url: timescale.url,
      open,
      topic: readings.name,
      partitions: readings.partitions,
      windows: {
        outOfOrdernessMs: aggregator.outOfOrderness,
        allowedLatenessMs: aggregator.allowedLateness,
        idleTimeoutMs: aggregator.idleTimeout,
        dedupHorizonMs: aggregator.dedupHorizon,
        dedupCount: aggregator.dedupCount,
      },
      maxFutureMs: edge.maxFuture,
    });
  } finally {
    archive.close();
    await Promise.all([log.close(), database.close()]);
  }
}

/** Aborts with Ctrl-C and SIGTERM, so that the scratch schema is removed. */
export function interruption(): { readonly signal: AbortSignal; end(): void } {
  const controller = new AbortController();
  const stop = (signal: NodeJS.Signals): void =>
    controller.abort(new Finished(signal === 'SIGINT' ? 130 : 143));
  process.once('SIGINT', stop).once('SIGTERM', stop);
  return {
    signal: controller.signal,
    end: () => void process.off('SIGINT', stop).off('SIGTERM', stop),
  };
}

const BAR = 24;
const STEPS: Readonly<Record<ReplayProgress['step'], string>> = {
  listing: 'Listing the archive',
  folding: 'Folding the log into windows',
  comparing: 'Comparing with the stored windows',
  copying: 'Taking the new windows over',
};

/** Shows the steps of a replay, one after another, with a bar where the end is known. */
export function showReplay(progress: Progress): { told(next: ReplayProgress): void; end(ok: boolean): void } {
  let step: ReplayProgress['step'] | null = null;
  let began = 0;
  const end = (ok: boolean): void => {
    if (step === null) return;
    if (ok) progress.done(step);
    else progress.failed(step);
    step = null;
  };
  return {
    end,
    told(next) {
      if (next.step !== step) {
        end(true);
        step = next.step;
        began = performance.now();
        progress.begin(step, STEPS[step]);
      }
      progress.detail(step, detailOf(next, (performance.now() - began) / 1_000));
    },
  };
}

function detailOf(progress: ReplayProgress, seconds: number): string {
  switch (progress.step) {
    case 'listing':
      return `${number(progress.objects)} objects`;
    case 'folding': {
      const { done, total, readings } = progress;
      const part = total === 0 ? 1 : done / total;
      const full = Math.round(part * BAR);
      const rate = number(readings / Math.max(seconds, 0.001));
      return `[${'█'.repeat(full)}${'░'.repeat(BAR - full)}] ${Math.floor(part * 100)} %  ${number(readings)} readings, ${rate}/s`;
    }
    default:
      return `${number(progress.rows)} rows`;
  }
}
