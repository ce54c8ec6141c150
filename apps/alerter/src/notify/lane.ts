import { errorMessage, fullJitter, isTransient, WeirError } from '@weir/flow';
import {
  CircuitState,
  ConsecutiveBreaker,
  circuitBreaker,
  handleWhen,
  isBrokenCircuitError,
} from 'cockatiel';
import { type Destination, RetryLater } from './destinations/destination.ts';
import type { Message } from './message.ts';
import type { Addressee, Claimed, Settlement } from './outbox.ts';

const BACKOFF = { baseMs: 1_000, maxMs: 60_000 };
/** Failures in a row that open the breaker, and the time until the next trial. */
const FAILURES = 5;
const OPEN_MS = 10_000;
/** The longest pause that a receiver may ask for. */
const LONGEST_PAUSE_MS = 3_600_000;

export type LaneState = 'healthy' | 'failing' | 'open';

export interface LaneOptions {
  readonly addressee: Addressee;
  readonly destination: Destination;
  /** Deadline of one call, milliseconds. */
  readonly timeoutMs: number;
  /** Age of a change, milliseconds, at which it is given up. */
  readonly giveUpAfterMs: number;
  readonly random?: () => number;
}

interface Attempt {
  readonly message: Claimed;
  /** What the receiver said, or why it did not take it. */
  readonly answer: string | Error;
}

/** The way to one receiver: deadline, breaker and back-off around its destination. */
export class Lane {
  readonly addressee: Addressee;
  readonly destination: Destination;
  readonly #options: LaneOptions;
  readonly #breaker = circuitBreaker(handleWhen(isTransient), {
    halfOpenAfter: OPEN_MS,
    breaker: new ConsecutiveBreaker(FAILURES),
  });
  /** Messages of it are under way. */
  busy = false;
  /** Something was planned while it was busy. */
  missed = false;
  #pausedUntil = 0;
  #failing = false;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.addressee = options.addressee;
    this.destination = options.destination;
    this.#breaker.onBreak(() => {
      this.#pausedUntil = Math.max(this.#pausedUntil, Date.now() + OPEN_MS);
    });
  }

  get state(): LaneState {
    if (this.#breaker.state !== CircuitState.Closed) return 'open';
    return this.#failing ? 'failing' : 'healthy';
  }

  /** How many messages it takes now; one for a trial, none while it pauses. */
  room(now: number): number {
    if (now < this.#pausedUntil) return 0;
    if (this.state !== 'healthy') return 1;
    return this.destination.atATime * this.destination.parallel;
  }

  /** One call of the destination, within the deadline. */
  async #call(messages: readonly Message[]): Promise<readonly (string | Error)[]> {
    const { timeoutMs, destination } = this.#options;
    const deadline = new AbortController();
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      deadline.abort();
      late.reject(
        new WeirError(
          'WEIR_TIMEOUT',
          'transient',
          `telling ${this.addressee.id}: no answer in ${timeoutMs} ms`,
        ),
      );
    }, timeoutMs);
    try {
      return await this.#breaker.execute(() =>
        Promise.race([destination.deliver(messages, deadline.signal), late.promise]),
      );
    } finally {
      clearTimeout(timer);
      late.promise.catch(() => undefined);
    }
  }

  async #attempt(messages: readonly Claimed[]): Promise<Attempt[]> {
    try {
      const answers = await this.#call(messages);
      return messages.map((message, index) => ({ message, answer: answers[index] ?? 'taken' }));
    } catch (error) {
      if (error instanceof RetryLater)
        this.#pausedUntil = Math.max(
          this.#pausedUntil,
          Date.now() + Math.min(error.afterMs, LONGEST_PAUSE_MS),
        );
      if (!(error instanceof WeirError) && !isBrokenCircuitError(error)) throw error;
      return messages.map((message) => ({ message, answer: error }));
    }
  }

  /** Sends the messages; resolves with what became of each. Rejects for what no receiver can be blamed for. */
  async send(messages: readonly Claimed[]): Promise<Attempt[]> {
    const { atATime } = this.destination;
    const calls: Claimed[][] = [];
    for (let from = 0; from < messages.length; from += atATime)
      calls.push(messages.slice(from, from + atATime));
    const attempts = (await Promise.all(calls.map((call) => this.#attempt(call)))).flat();
    const answered = attempts.some(({ answer }) => typeof answer === 'string' || !isTransient(answer));
    this.#failing = !answered && attempts.length > 0;
    return attempts;
  }

  /** Sends one message beside all others: no breaker, no retry. */
  async sendAside(message: Message): Promise<string> {
    const signal = AbortSignal.timeout(this.#options.timeoutMs);
    const [answer = 'taken'] = await this.destination.deliver([message], signal);
    if (typeof answer !== 'string') throw answer;
    return answer;
  }

  /** What is to become of a message after an attempt: sent, tried again with full jitter, or given up. */
  settle({ message, answer }: Attempt, now: number): Settlement {
    if (typeof answer === 'string') return { message, outcome: { state: 'sent' } };
    const error = errorMessage(answer);
    if (answer instanceof WeirError && answer.retry === 'data')
      return { message, outcome: { state: 'failed', reason: 'refused', error } };
    if (now - message.since >= this.#options.giveUpAfterMs)
      return { message, outcome: { state: 'failed', reason: 'expired', error } };
    const { random = Math.random } = this.#options;
    const waitMs = Math.max(
      fullJitter(message.attempts - 1, { ...BACKOFF, random }),
      answer instanceof RetryLater ? Math.min(answer.afterMs, LONGEST_PAUSE_MS) : 0,
    );
    return { message, outcome: { state: 'queued', waitMs, error } };
  }
}
