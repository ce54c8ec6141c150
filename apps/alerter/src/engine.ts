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
import type { AlertRule } from '@weir/config/alert-rules';
import type { Transaction } from '@weir/connect-timescale';
import { closeUncovered, readStates, statesOf, writeEvaluation } from './store/alert-store.ts';

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
  /** Puts other rules in force and closes the alerts of series that none covers any more; how many fired. */
  setRules(rules: readonly AlertRule[]): Promise<number>;
  evaluate(input: {
    readonly readings?: readonly ReadingBatch[];
    readonly observations?: readonly Observation[];
  }): Promise<Pick<Evaluation, 'changes' | 'evaluated'>>;
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

export function openEngine({ rules: first, transaction, onChange, now = Date.now }: EngineOptions): Engine {
  let rules = ruleSet(first);
  let last: Promise<unknown> = Promise.resolve();
  /** One after the other: a series never has two evaluations at a time. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = last.then(work, work);
    last = turn.catch(() => undefined);
    return turn;
  };
  const kindOf = (id: string): string => rules.get(id)?.kind ?? '';

  const evaluate: Engine['evaluate'] = ({ readings = [], observations = [] }) =>
    inTurn(async () => {
      const known = observations.filter(({ rule }) => rules.get(rule) !== undefined);
      const series = touchedSeries(rules, readings);
      for (const one of known) series.set(seriesKeyText(one), one);
      if (series.size === 0) return { changes: [], evaluated: 0 };
      const evaluation = await transaction('evaluating rules', async (sql) => {
        const evaluator = new Evaluator(rules, await readStates(sql, [...series.values()]));
        for (const batch of readings) evaluator.readings(batch);
        for (const observation of known) evaluator.observe(observation);
        await writeEvaluation(sql, evaluator, kindOf, now());
        return evaluator;
      });
      const { changes, evaluated } = evaluation;
      if (changes.length > 0) onChange(changes);
      return { changes, evaluated };
    });

  return {
    get rules() {
      return rules;
    },
    setRules: (next) =>
      inTurn(async () => {
        const closed = await transaction('closing alerts of removed rules', (sql) =>
          closeUncovered(sql, next, now()),
        );
        rules = ruleSet(next);
        if (closed > 0) onChange([]);
        return closed;
      }),
    evaluate,
    seriesOf: (rule) =>
      inTurn(() => transaction('reading the states of a rule', (sql) => statesOf(sql, rule))),
  };
}
