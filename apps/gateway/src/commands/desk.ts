import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from '@weir/api';
import type { Delivery, Publisher, Settlement } from '@weir/connect-rabbitmq';
import { errorMessage, isTransient } from '@weir/flow';
import { COMMAND_EVENTS, COMMANDS_EXCHANGE, commandKey } from '@weir/topology';
import type { Events } from '../events.ts';
import { ApiProblem } from '../http/problems.ts';
import type { CommandStore, NewCommand, QueuedCommand } from './store.ts';

const EVERY_MS = 500;
const AT_A_TIME = 500;
const KEPT_DAYS = 30;
const FORGET_EVERY_MS = 3_600_000;
const FINAL: ReadonlySet<Command['state']> = new Set(['acknowledged', 'failed', 'expired']);

/** What an event about a command tells; anything a device publishes may stand here. */
interface CommandEvent {
  readonly kind?: unknown;
  readonly site?: unknown;
  readonly device?: unknown;
  readonly edge?: unknown;
  /** Of `command-delivered`. */
  readonly id?: unknown;
  /** Of `command-ack`: what the device published. */
  readonly data?: { readonly id?: unknown; readonly ok?: unknown; readonly result?: unknown } | null;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** Of `<edge id>/<spool id>`. */
const edgeId = (edge: unknown): string => String(edge).split('/', 1)[0] ?? '';
const isId = (id: unknown): id is string => typeof id === 'string' && UUID.test(id);

function message({ id, site, device, name, payload, deadline, left }: QueuedCommand) {
  const ttl = Math.max(1, Math.floor(left));
  return {
    exchange: COMMANDS_EXCHANGE,
    key: commandKey(site),
    contentType: 'application/json',
    messageId: id,
    expiresMs: ttl,
    body: Buffer.from(JSON.stringify({ id, site, device, name, payload, deadline: deadline.getTime(), ttl })),
  };
}

/**
 * The way of commands: stored, then published until an edge's queue has them, then watched until the device has
 * answered or the deadline has passed. Any number of gateways share the work; one that is killed is replaced by the
 * next within a second.
 */
export class CommandDesk {
  readonly #store: CommandStore;
  readonly #publisher: Publisher;
  readonly #events: Events;
  readonly #stopping = new AbortController();
  readonly #watchers = new Map<string, Set<() => void>>();
  #wake: () => void = () => {};
  #running: Promise<void> | undefined;

  constructor(store: CommandStore, publisher: Publisher, events: Events) {
    this.#store = store;
    this.#publisher = publisher;
    this.#events = events;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake();
    await this.#running;
  }

  /** Stores a command and sends it on its way; with a known key, answers the command that was stored with it. */
  async add(command: NewCommand): Promise<{ readonly command: Command; readonly isNew: boolean }> {
    const { command: added, isNew } = await this.#store.add(command);
    if (added === null)
      throw new ApiProblem('not-found', 'The command of this Idempotency-Key is forgotten.');
    if (isNew) this.#wake();
    return { command: added, isNew };
  }

  /** The command when it has ended, or as it is after `waitMs`. */
  async wait(id: string, waitMs: number): Promise<Command | null> {
    const until = performance.now() + waitMs;
    for (;;) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const watchers = this.#watchers.get(id) ?? new Set();
      this.#watchers.set(id, watchers.add(resolve));
      try {
        const found = await this.#store.find(id);
        const left = until - performance.now();
        if (found === null || FINAL.has(found.state) || left <= 0 || this.#stopping.signal.aborted)
          return found;
        // Another gateway may have heard the answer: the row is looked at again in any case.
        const timer = setTimeout(resolve, Math.min(left, EVERY_MS));
        await promise;
        clearTimeout(timer);
      } finally {
        watchers.delete(resolve);
        if (watchers.size === 0) this.#watchers.delete(id);
      }
    }
  }

  /** An event of `weir.gateway.command-events`. */
  readonly hear = async ({ body }: Delivery): Promise<Settlement> => {
    let event: CommandEvent | null;
    try {
      event = JSON.parse(body.toString('utf8')) as CommandEvent | null;
    } catch {
      return 'reject';
    }
    const { kind, site, device, edge, id, data } = event ?? {};
    try {
      if (kind === COMMAND_EVENTS.delivered && isId(id)) {
        this.#changed(await this.#store.delivered(id, edgeId(edge)));
      } else if (kind === COMMAND_EVENTS.answered && isId(data?.id)) {
        const answer = { id: data.id, ok: data.ok !== false, result: data.result };
        const from = { site: String(site), device: String(device), edge: edgeId(edge) };
        this.#changed(await this.#store.answered({ ...answer, ...from }));
      }
      // Anything else was published by a device that answers to no command of ours.
      return 'ack';
    } catch (error) {
      if (!isTransient(error)) throw error;
      this.#events.databaseUnavailable('noting what became of a command', error);
      await delay(EVERY_MS, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      return 'requeue';
    }
  };

  #changed(command: Command | null): void {
    if (command === null) return;
    if (FINAL.has(command.state)) this.#events.commandEnded(command.state);
    for (const resolve of this.#watchers.get(command.id) ?? []) resolve();
  }

  async #run(): Promise<void> {
    let forgotten = -FORGET_EVERY_MS;
    while (!this.#stopping.signal.aborted) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      try {
        for (const command of await this.#store.expire()) this.#changed(command);
        const isFull = await this.#publishDue();
        if (performance.now() - forgotten >= FORGET_EVERY_MS) {
          await this.#store.forget(KEPT_DAYS);
          forgotten = performance.now();
        }
        if (isFull) continue;
      } catch (error) {
        // Whatever is away comes back; commands keep their deadline meanwhile.
        this.#events.commandsWait(errorMessage(error));
      }
      const timer = setTimeout(() => this.#wake(), EVERY_MS);
      await woken;
      clearTimeout(timer);
    }
  }

  /** Whether more may be due. */
  async #publishDue(): Promise<boolean> {
    const due = await this.#store.claimDue(AT_A_TIME);
    if (due.length === 0) return false;
    const failures = await this.#publisher.publish(due.map(message));
    const ids = (wanted: (index: number) => boolean): string[] =>
      due.filter((_, index) => wanted(index)).map(({ id }) => id);
    await this.#store.published(
      ids((index) => !failures.has(index)),
      ids((index) => failures.get(index) === 'unroutable'),
    );
    return due.length === AT_A_TIME;
  }
}
