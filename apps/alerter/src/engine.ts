import {
  type Evaluation,
  Evaluator,
  type Observation,
  QuietSeries,
  type ReadingBatch,
  type RuleSet,
  type RuleState,
  ruleSet,
  type SeriesKey,
  touchedSeries,
} from '@weir/alerts';
import { type AlertRule, memberRules } from '@weir/config/alert-rules';
import type { Transaction } from '@weir/connect-timescale';
import { announceDue, closeUncovered, writeEvaluation } from './store/alert-store.ts';
import { pendingSeries, readOthers, readStates, statesOf } from './store/rule-states.ts';

/** What is known of a rule and a series. */
export interface KnownSeries {
  readonly series: SeriesKey;
  readonly state: RuleState;
}

/**
 * Evaluates for as long as this process is the active one. Each call is one fenced transaction: it is done as a whole
 * or not at all, and calls follow one another. Throws transient errors when the database is away (nothing is known of
 * the outcome then: call again with the same) and `WEIR_FENCED` when another process has taken over.
 */
export interface Engine {
  /** The rules in force. */
  readonly rules: RuleSet;
  /** Puts other rules in force and closes the alerts of series that none covers any more; how many were told. */
  setRules(rules: readonly AlertRule[]): Promise<number>;
  evaluate(input: {
    readonly readings?: readonly ReadingBatch[];
    readonly observations?: readonly Observation[];
  }): Promise<Pick<Evaluation, 'changes' | 'evaluated'>>;
  /**
   * Lets time pass for rules made of others whose members tell nothing while they fire, because a device is silent.
   * @param ts epoch milliseconds, by the clock that silence is measured by
   */
  pass(ts: number): Promise<void>;
  /** Tells of alerts that have waited long enough for one of their site. */
  announce(): Promise<void>;
  /** Where a rule stands with each series that it has ever been observed for. */
  seriesOf(rule: string): Promise<readonly KnownSeries[]>;
}

export interface EngineOptions {
  readonly rules: readonly AlertRule[];
  /** A transaction that commits only while this process is the active one. */
  readonly transaction: <T>(doing: string, work: (transaction: Transaction) => Promise<T>) => Promise<T>;
  /** Throws `WEIR_FENCED` when this process is not the active one any more. */
  readonly confirm: (doing: string) => Promise<void>;
  /** Called after a commit that may have told of an alert. */
  readonly onChange: (changes: Evaluation['changes']) => void;
  readonly now?: () => number;
}

/** Some 70 MB of rules about readings, and 10 MB of others. */
const READING_STATES_IN_MEMORY = 300_000;
const STATES_IN_MEMORY = 30_000;

export function openEngine({
  rules: first,
  transaction,
  confirm,
  onChange,
  now = Date.now,
}: EngineOptions): Engine {
  let rules = ruleSet(first);
  let last: Promise<unknown> = Promise.resolve();
  /** Composites that wait for their hold time, by site and device, then by rule; null: not known. */
  let pending: Map<string, Map<string, SeriesKey>> | null = null;
  /** Where rules about readings stand. */
  let quiet = new QuietSeries(rules, READING_STATES_IN_MEMORY);
  /** States of the other rules as they are stored: nobody else writes them while this process is the active one. */
  const stored = new Map<string, RuleState>();
  const known = (key: string, series: SeriesKey): RuleState | undefined =>
    stored.get(key) ?? quiet.state(series);
  const keep = (key: string, series: SeriesKey, state: RuleState): void => {
    if (!quiet.stored(series, state)) stored.set(key, state);
  };
  const read = async (sql: Transaction, series: ReadonlyMap<string, SeriesKey>) => {
    const before = new Map<string, RuleState>();
    const unknown: SeriesKey[] = [];
    for (const [key, one] of series) {
      const state = known(key, one);
      if (state === undefined) unknown.push(one);
      else before.set(key, state);
    }
    for (const [key, state] of await readStates(sql, unknown)) before.set(key, state);
    return before;
  };
  /** One after the other: a series never has two evaluations at a time. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = last.then(work, work);
    last = turn.catch(() => undefined);
    return turn;
  };
  const waitFor = (id: string): number =>
    Math.max(
      0,
      ...rules.madeOf(id).map((rule) => (rule.kind === 'correlation' ? (rule.grace ?? rule.within) : 0)),
    );
  const wait = (waiting: NonNullable<typeof pending>, series: SeriesKey, isPending: boolean): void => {
    const key = deviceKey(series.site, series.device);
    const those = waiting.get(key) ?? new Map<string, SeriesKey>();
    if (isPending) those.set(series.rule, series);
    else those.delete(series.rule);
    if (those.size > 0) waiting.set(key, those);
    else waiting.delete(key);
  };
  const findPending = async (): Promise<NonNullable<typeof pending>> => {
    const waiting: NonNullable<typeof pending> = new Map();
    const found = await transaction('reading which rules wait', (sql) => pendingSeries(sql, 'composite'));
    for (const series of found) wait(waiting, series, true);
    return waiting;
  };

  /** @param see gives the evaluator what there is to see; done again with more states when others follow from it */
  const evaluate = async (
    series: ReadonlyMap<string, SeriesKey>,
    see: (evaluator: Evaluator) => void,
  ): Promise<Evaluation> => {
    const { evaluation, states } = await transaction('evaluating rules', async (sql) => {
      const before = await read(sql, series);
      let evaluator = new Evaluator(rules, before);
      see(evaluator);
      if (evaluator.needsOthers) {
        evaluator = new Evaluator(rules, before, await readOthers(sql, rules, series.values(), before));
        see(evaluator);
      }
      const states = quiet.unstored(series, evaluator);
      await writeEvaluation(sql, evaluator, states, rules, waitFor, now());
      return { evaluation: evaluator, states };
    }).catch((error: unknown) => {
      // Whether it is stored is not known.
      pending = null;
      stored.clear();
      for (const one of series.values()) quiet.forget(one);
      throw error;
    });
    if (stored.size > STATES_IN_MEMORY) stored.clear();
    for (const [key, { series: one, state }] of states) {
      keep(key, one, state);
      if (pending !== null && rules.get(one.rule)?.kind === 'composite')
        wait(pending, one, state.phase === 'pending');
    }
    if (evaluation.changes.length > 0) onChange(evaluation.changes);
    return evaluation;
  };

  /** The readings that change something which has to be stored; the rest has been dealt with. */
  const takeQuiet = async (batches: readonly ReadingBatch[]): Promise<readonly ReadingBatch[]> => {
    if (rules.all.some(isTimed)) pending ??= await findPending();
    const waiting = pending;
    const isWaiting =
      waiting === null || waiting.size === 0
        ? null
        : (site: string, device: string) => waiting.has(deviceKey(site, device));
    quiet.begin();
    const left: ReadingBatch[] = [];
    for (const batch of batches) {
      const readings = quiet.take(batch, isWaiting);
      if (readings.length > 0) left.push({ ...batch, readings });
    }
    return left;
  };

  return {
    get rules() {
      return rules;
    },
    setRules: (next) =>
      inTurn(async () => {
        const closed = await transaction('closing alerts of removed rules', async (sql) => {
          const fired = await closeUncovered(sql, next, now());
          const waits = next.some(({ kind }) => kind === 'correlation') ? 'due' : 'all';
          return fired + (await announceDue(sql, waits));
        });
        rules = ruleSet(next);
        pending = null;
        stored.clear();
        const before = quiet;
        quiet = new QuietSeries(rules, READING_STATES_IN_MEMORY);
        quiet.adopt(before);
        if (closed > 0) onChange([]);
        return closed;
      }),
    evaluate: ({ readings = [], observations = [] }) =>
      inTurn(async () => {
        const observed = observations.filter(({ rule }) => rules.get(rule) !== undefined);
        const left = await takeQuiet(readings);
        const evaluated = quiet.evaluated;
        const series = touchedSeries(rules, left, observed);
        if (series.size === 0) {
          // What they changed is in this memory alone: it must be that of the active process.
          if (evaluated > 0) await confirm('evaluating rules');
          return { changes: [], evaluated };
        }
        const evaluation = await evaluate(series, (evaluator) => {
          for (const batch of left) evaluator.readings(batch);
          for (const observation of observed) evaluator.observe(observation);
        });
        return { changes: evaluation.changes, evaluated: evaluated + evaluation.evaluated };
      }),
    pass: (ts) =>
      inTurn(async () => {
        if (!rules.all.some(isTimed)) return;
        pending ??= await findPending();
        const waiting = [...pending.values()].flatMap((those) =>
          [...those.values()].filter(({ rule }) => {
            const found = rules.get(rule);
            return found?.kind === 'composite' && memberRules(found).some((id) => isSilence(rules.get(id)));
          }),
        );
        if (waiting.length === 0) return;
        await evaluate(touchedSeries(rules, [], waiting), (evaluator) => {
          for (const series of waiting) {
            const rule = rules.get(series.rule);
            if (rule?.kind === 'composite') evaluator.pass(rule, series, ts);
          }
        });
      }),
    announce: () =>
      inTurn(async () => {
        if (rules.ofKind('correlation').length === 0) return;
        const announced = await transaction('telling of alerts that have waited', (sql) =>
          announceDue(sql, 'due'),
        );
        if (announced > 0) onChange([]);
      }),
    seriesOf: (rule) =>
      inTurn(() => transaction('reading the states of a rule', (sql) => statesOf(sql, rule))),
  };
}

const isSilence = (rule: AlertRule | undefined): boolean =>
  rule?.kind === 'offline' || rule?.kind === 'missing';
const isTimed = (rule: AlertRule): boolean => rule.kind === 'composite' && rule.hold > 0;
const deviceKey = (site: string, device: string): string => `${site}\0${device}`;
