import {
  type Evaluation,
  Evaluator,
  type Observation,
  type ReadingBatch,
  type RuleSet,
  type RuleState,
  ruleSet,
  type SeriesKey,
  seriesKeyText,
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
  /** Called after a commit that may have told of an alert. */
  readonly onChange: (changes: Evaluation['changes']) => void;
  readonly now?: () => number;
}

/** Some 30 MB. */
const STATES_IN_MEMORY = 100_000;

export function openEngine({ rules: first, transaction, onChange, now = Date.now }: EngineOptions): Engine {
  let rules = ruleSet(first);
  let last: Promise<unknown> = Promise.resolve();
  /** Composites that wait for their hold time, by `seriesKeyText`; null: not known. */
  let pending: Map<string, SeriesKey> | null = null;
  /** States as they are stored: nobody else writes them while this process is the active one. */
  const stored = new Map<string, RuleState>();
  const read = async (sql: Transaction, series: ReadonlyMap<string, SeriesKey>) => {
    const before = new Map<string, RuleState>();
    const unknown: SeriesKey[] = [];
    for (const [key, one] of series) {
      const state = stored.get(key);
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

  /** @param see gives the evaluator what there is to see; done again with more states when others follow from it */
  const evaluate = async (
    series: ReadonlyMap<string, SeriesKey>,
    see: (evaluator: Evaluator) => void,
  ): Promise<Evaluation> => {
    const evaluation = await transaction('evaluating rules', async (sql) => {
      const before = await read(sql, series);
      let evaluator = new Evaluator(rules, before);
      see(evaluator);
      if (evaluator.needsOthers) {
        evaluator = new Evaluator(rules, before, await readOthers(sql, rules, series.values(), before));
        see(evaluator);
      }
      await writeEvaluation(sql, evaluator, rules, waitFor, now());
      return evaluator;
    }).catch((error: unknown) => {
      pending = null;
      stored.clear();
      throw error;
    });
    if (stored.size + evaluation.states.size > STATES_IN_MEMORY) stored.clear();
    for (const [key, { state }] of evaluation.states) stored.set(key, state);
    for (const [key, { series: one, state }] of evaluation.states) {
      if (pending === null || rules.get(one.rule)?.kind !== 'composite') continue;
      if (state.phase === 'pending') pending.set(key, one);
      else pending.delete(key);
    }
    if (evaluation.changes.length > 0) onChange(evaluation.changes);
    return evaluation;
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
        if (closed > 0) onChange([]);
        return closed;
      }),
    evaluate: ({ readings = [], observations = [] }) =>
      inTurn(async () => {
        const known = observations.filter(({ rule }) => rules.get(rule) !== undefined);
        const series = touchedSeries(rules, readings, known);
        if (series.size === 0) return { changes: [], evaluated: 0 };
        return evaluate(series, (evaluator) => {
          for (const batch of readings) evaluator.readings(batch);
          for (const observation of known) evaluator.observe(observation);
        });
      }),
    pass: (ts) =>
      inTurn(async () => {
        if (!rules.all.some(isTimed)) return;
        pending ??= new Map(
          (await transaction('reading which rules wait', (sql) => pendingSeries(sql, 'composite'))).map(
            (series) => [seriesKeyText(series), series],
          ),
        );
        const waiting = [...pending.values()].filter(({ rule }) => {
          const found = rules.get(rule);
          return found?.kind === 'composite' && memberRules(found).some((id) => isSilence(rules.get(id)));
        });
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
