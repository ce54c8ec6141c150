import type { DeadLetterSelection } from '@weir/api';

/**
 * planning → planned → running ⇄ paused → done, cancelled or failed. A dry run rests in `planned` until somebody
 * resumes it, and then moves exactly what it found.
 */
export type TaskState = 'planning' | 'planned' | 'running' | 'paused' | 'done' | 'cancelled' | 'failed';
export type ItemState = 'waiting' | 'sending' | 'sent' | 'skipped' | 'parked' | 'failed';
/** `lag`: goes on by itself when the destination has caught up. `returns`: its own letters came back. */
export type PauseCause = 'person' | 'lag' | 'returns';

/** What people ask of a task. */
export const TASK_COMMANDS = ['pause', 'resume', 'cancel'] as const;
export type TaskCommand = (typeof TASK_COMMANDS)[number];

const COMMANDS: Readonly<Record<TaskState, Partial<Record<TaskCommand, TaskState>>>> = {
  planning: { cancel: 'cancelled' },
  planned: { resume: 'running', cancel: 'cancelled' },
  running: { pause: 'paused', cancel: 'cancelled' },
  paused: { resume: 'running', cancel: 'cancelled' },
  done: {},
  cancelled: {},
  failed: {},
};

/** The state of a task after a command; null when the command makes no sense in its state. */
export function afterCommand(state: TaskState, command: TaskCommand): TaskState | null {
  return COMMANDS[state][command] ?? null;
}

/** States from which a task may leave for another. */
export const ACTIVE_STATES = [
  'planning',
  'planned',
  'running',
  'paused',
] as const satisfies readonly TaskState[];

/** A letter of a plan, to look at. */
export interface PlanSample {
  readonly letter: string;
  readonly reason: string;
  readonly site: string;
  readonly device: string;
  readonly destination: string;
  /** Readings that it brings back; null when it holds none. */
  readonly readings: number | null;
  readonly replayCount: number;
}

/** What a selection comes to, before anything is sent. */
export interface ReplayPlan {
  /** Letters of the selection: the sum of the four that follow. */
  readonly letters: number;
  readonly send: number;
  /** Sent before, and not come back; or all of their readings are counted. */
  readonly skip: number;
  /** Came back as often as the loop guard allows. */
  readonly park: number;
  /** Cannot be sent as they are. */
  readonly refuse: number;
  /** Readings that the letters to be sent bring back. */
  readonly readings: number;
  /** Letters to be sent that were sent before, and came back. */
  readonly replayedBefore: number;
  readonly devices: number;
  readonly destinations: readonly { readonly destination: string; readonly letters: number }[];
  /** Why letters are refused, the most frequent first, at most 20. */
  readonly errors: readonly { readonly why: string; readonly letters: number }[];
  /** The first five that are sent. */
  readonly samples: readonly PlanSample[];
  /** At the limit of the task. */
  readonly seconds: number;
}

export interface ReplayTask {
  /** UUID. */
  readonly id: string;
  readonly createdAt: Date;
  readonly by: string;
  readonly why: string;
  /** Null for a person's task. */
  readonly policy: string | null;
  readonly selection: DeadLetterSelection;
  /** Letters a second, at most. */
  readonly rate: number;
  readonly maxReplays: number;
  readonly starts: boolean;
  readonly state: TaskState;
  readonly stateAt: Date;
  readonly stateBy: string;
  readonly stateWhy: string;
  readonly pauseCause: PauseCause | null;
  readonly plan: ReplayPlan | null;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  readonly sent: number;
  readonly resent: number;
  readonly skipped: number;
  readonly parked: number;
  readonly failed: number;
  /** Letters that had come back when somebody resumed it last. */
  readonly returnsSeen: number;
}
