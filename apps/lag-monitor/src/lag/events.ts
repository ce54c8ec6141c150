import type { LagSystem, LagVerdict } from '@weir/api';
import { errorMessage } from '@weir/flow';
import { type Logger, type Metrics, rateLimited } from '@weir/observe';
import type { Board, Standing } from './board.ts';

/** As Burrow numbers them; 0: unknown. */
const STATUS: Readonly<Record<LagVerdict, number>> = {
  UNKNOWN: 0,
  OK: 1,
  WARN: 2,
  ERR: 3,
  STOP: 4,
  STALL: 5,
  REWIND: 6,
};
const BAD = new Set<LagVerdict>(['ERR', 'STOP', 'STALL']);

/** What the watch over lag tells: each event owns its log line and its metrics. */
export class LagEvents {
  readonly #log: Logger;
  readonly #limited = rateLimited();
  readonly #rounds;
  readonly #seconds;
  readonly #writes;
  readonly #told;
  readonly #helpers;

  constructor(log: Logger, metrics: Metrics, board: Board) {
    this.#log = log;
    this.#rounds = metrics.counter(
      'weir_lag_measurements_total',
      'Measurements of a broker by their outcome',
      ['system', 'outcome'],
    );
    this.#seconds = metrics.histogram('weir_lag_measurement_seconds', 'Time that a broker took to answer', [
      'system',
    ]);
    this.#writes = metrics.counter('weir_lag_history_rows_total', 'Rows of history by their outcome', [
      'outcome',
    ]);
    this.#helpers = metrics.counter('weir_lag_helpers_total', 'Aggregators started and ended here', [
      'step',
      'mode',
    ]);
    this.#told = metrics.counter('weir_lag_alerts_total', 'Alerts of verdicts', ['change']);
    for (const system of ['kafka', 'rabbitmq']) {
      for (const outcome of ['measured', 'missing']) this.#rounds.inc({ system, outcome }, 0);
    }
    showBoard(metrics, board);
  }

  measured(system: LagSystem, tookMs: number): void {
    this.#rounds.inc({ system, outcome: 'measured' });
    this.#seconds.observe({ system }, tookMs / 1_000);
  }

  missing(system: LagSystem, why: string): void {
    this.#rounds.inc({ system, outcome: 'missing' });
    this.#limited(system, (suppressed) =>
      this.#log.warn({ system, suppressed }, `lag of ${system} is unknown: ${why}`),
    );
  }

  left(partitions: number): void {
    if (partitions === 0) return;
    this.#limited('left', () =>
      this.#log.warn(
        { partitions },
        'more partitions than lagMonitor.maxPartitions: the rest is not watched',
      ),
    );
  }

  /** A verdict is another than before. */
  changed(
    { measured: { system, name }, judged: { verdict, rule, lag } }: Standing,
    before: LagVerdict,
  ): void {
    const line = `${system} ${name}: ${before} → ${verdict}, ${rule.text} (rule ${rule.number})`;
    const facts = { system, group: name, verdict, before, rule: rule.number, lag };
    if (BAD.has(verdict)) this.#log.error(facts, line);
    else if (verdict === 'OK') this.#log.info(facts, line);
    else this.#log.warn(facts, line);
  }

  written(rows: number): void {
    this.#writes.inc({ outcome: 'written' }, rows);
  }
  /** The database was away for so long that measurements had to go. */
  dropped(rows: number): void {
    this.#writes.inc({ outcome: 'dropped' }, rows);
  }
  alerted({ opened, resolved }: { readonly opened: number; readonly resolved: number }): void {
    this.#told.inc({ change: 'opened' }, opened);
    this.#told.inc({ change: 'resolved' }, resolved);
  }
  /** A remedy: another aggregator is started on this machine, or one is ended. */
  helper(step: 'start' | 'stop', mode: 'on' | 'dry-run', why: string): void {
    this.#helpers.inc({ step, mode });
    const what =
      step === 'start' ? 'another aggregator on this machine' : 'an aggregator less on this machine';
    this.#log.warn({ step, mode }, `${mode === 'on' ? '' : 'would be: '}${what}: ${why}`);
  }
  helperEnded(how: string): void {
    this.#log.info(`an aggregator that was started here has ended: ${how}`);
  }
  databaseAway(error: unknown): void {
    this.#limited('database', (suppressed) =>
      this.#log.warn({ suppressed }, `history and alerts wait for the database: ${errorMessage(error)}`),
    );
  }
}

/** The figures of all groups and queues, as of the newest measurement. */
function showBoard(metrics: Metrics, board: Board): void {
  const of = ['system', 'group'] as const;
  const group = (name: string, help: string, pick: (one: Standing) => number | null): void => {
    metrics.gauge(name, help, of, (gauge) => {
      gauge.reset();
      for (const one of board.standings) {
        const value = pick(one);
        if (value !== null) gauge.set({ system: one.measured.system, group: one.measured.name }, value);
      }
    });
  };
  const seconds = (ms: number | null): number | null => (ms === null ? null : ms / 1_000);
  group(
    'weir_lag_status',
    '0 unknown, 1 OK, 2 WARN, 3 ERR, 4 STOP, 5 STALL, 6 REWIND',
    ({ judged }) => STATUS[judged.verdict],
  );
  group('weir_lag_items', 'Records or messages that wait', ({ judged }) => judged.lag);
  group('weir_lag_seconds', 'How long the oldest of them has waited', ({ judged }) =>
    seconds(judged.timeLagMs),
  );
  group('weir_lag_velocity', 'Change of the lag, items a second', ({ judged }) => judged.velocity);
  group('weir_lag_eta_seconds', 'Time until the lag is 0', ({ judged }) => seconds(judged.etaMs));
  group('weir_lag_time_to_loss_seconds', 'Time until retention may delete a waiting record', ({ judged }) =>
    seconds(judged.timeToLossMs),
  );
  group('weir_lag_consumers', 'Consumers of the group or queue', ({ measured }) => measured.consumers);
  group('weir_lag_in_rate', 'Items that come in a second', ({ judged }) => judged.inRate);
  group('weir_lag_out_rate', 'Items that are consumed a second', ({ judged }) => judged.outRate);

  const labels = ['consumergroup', 'topic', 'partition'] as const;
  const kafka = (): Standing[] => board.standings.filter(({ measured }) => measured.system === 'kafka');
  const partition = (
    name: string,
    help: string,
    pick: (one: Standing['judged']['partitions'][number]) => number | null,
  ): void => {
    metrics.gauge(name, help, labels, (gauge) => {
      gauge.reset();
      for (const { measured, judged } of kafka()) {
        for (const one of judged.partitions) {
          const value = pick(one);
          const { topic, partition } = one;
          if (value !== null)
            gauge.set({ consumergroup: measured.name, topic, partition: String(partition) }, value);
        }
      }
    });
  };
  partition('kafka_consumergroup_lag', 'Records that wait', ({ lag }) => lag);
  partition('kafka_consumergroup_current_offset', 'Committed offset', ({ committed }) => committed);
  partition('kafka_consumergroup_group_lag_seconds', 'How long the oldest waiting record has waited', (one) =>
    seconds(one.timeLagMs),
  );
  metrics.gauge(
    'kafka_consumergroup_group_max_lag_seconds',
    'The largest of its partitions',
    ['consumergroup'],
    (gauge) => {
      gauge.reset();
      for (const { measured, judged } of kafka()) {
        const value = seconds(judged.timeLagMs);
        if (value !== null) gauge.set({ consumergroup: measured.name }, value);
      }
    },
  );
  const log = (name: string, help: string, pick: 'start' | 'end'): void => {
    metrics.gauge(name, help, ['topic', 'partition'], (gauge) => {
      gauge.reset();
      for (const { judged } of kafka()) {
        for (const { topic, partition, [pick]: offset } of judged.partitions)
          if (offset !== null) gauge.set({ topic, partition: String(partition) }, offset);
      }
    });
  };
  log('kafka_partition_latest_offset', 'Offset after the last record', 'end');
  log('kafka_partition_earliest_offset', 'First offset that the log has', 'start');
  metrics.gauge('weir_lag_partitions_left', 'Partitions that are not watched: too many', [], (gauge) =>
    gauge.set(board.left),
  );
}
