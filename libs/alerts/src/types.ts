/** What a rule keeps a state for. Parts that do not apply are empty: the device of a site's alert, a metric. */
export interface SeriesKey {
  readonly rule: string;
  readonly site: string;
  readonly device: string;
  readonly metric: string;
}

/** What somebody saw of a rule and a series at one moment; all kinds of rules are judged by these. */
export interface Observation extends SeriesKey {
  /** Epoch milliseconds, in the time that the rule goes by. One that is not newer than the newest changes nothing. */
  readonly ts: number;
  /** The condition holds. */
  readonly met: boolean;
  /** A firing alert may end. Never together with `met`; between the two lies the hysteresis. */
  readonly cleared: boolean;
  readonly value: number | null;
  readonly threshold: number | null;
}

export type RuleState =
  | {
      readonly phase: 'ok';
      /** Time of the newest observation, epoch milliseconds. */
      readonly lastTs: number;
      readonly memory?: readonly number[];
    }
  | {
      readonly phase: 'pending' | 'firing';
      /** Time of the first observation that met the condition without a break. */
      readonly since: number;
      readonly lastTs: number;
      /** What the kind of the rule needs to know of earlier readings. */
      readonly memory?: readonly number[];
    };

/**
 * What an observation did to the alert of its series. `pending`: the condition began. `firing`: it has lasted for the
 * hold time. `resolved`: a firing alert ended. `vanished`: a pending one ended before its time.
 */
export type Transition = 'pending' | 'firing' | 'resolved' | 'vanished';

export interface Step {
  readonly state: RuleState;
  readonly transition?: Transition;
}
