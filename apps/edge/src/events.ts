import type { DeadLetterReason, DropReason } from '@weir/flow';
import { errorMessage } from '@weir/flow';
import { type Logger, ledgerCounter, type Metrics, rateLimited } from '@weir/observe';
import type { GateEvents, GateRefusal } from './gate/index.ts';
import { type DroppedRecords, HOP_OF } from './spool/index.ts';

/** Acknowledgements are usually a few milliseconds away, so the scale begins below the common one. */
const ACK_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** A wall clock that is off by more than this was set by somebody. */
const SET_MS = 500;

export interface EdgeGauges {
  connections(): number;
  held(): number;
  arriving(): number;
  inFlight(): number;
  /** Of the spool: what waits for its fsync. */
  pendingBytes(): number;
  /** How far the stamps are ahead of the arrival times, milliseconds. */
  clockAhead(): number;
}

export type LoginRefusal = 'missing' | 'unknown' | 'wrong-secret' | 'revoked' | 'client-id' | 'unavailable';

/** Everything the doors tell: each event owns its log line and its metrics. */
export class EdgeEvents implements GateEvents {
  /** Since the start; `/edge/status` derives rates from it. */
  readonly totals = { publishes: 0, accepted: 0, buried: 0, dropped: 0, connects: 0 };
  readonly #log: Logger;
  readonly #limited = rateLimited();
  readonly #publishes;
  readonly #ledger;
  readonly #refusals;
  readonly #holds;
  readonly #logins;
  readonly #connects;
  readonly #ack;
  readonly #eventsDropped;
  readonly #requests;
  readonly #queueFull;
  readonly #sync;
  readonly #clockIgnored;
  readonly #commands;
  #wallAheadMs = 0;
  #wasSet = false;

  constructor(log: Logger, metrics: Metrics) {
    this.#log = log;
    const publishes = metrics.counter('weir_edge_publishes_total', 'MQTT publishes received', ['qos']);
    this.#publishes = [0, 1, 2].map((qos) => publishes.labels({ qos: String(qos) }));
    const ledger = ledgerCounter(metrics);
    this.#ledger = (outcome: string, reason: string, hop = 'edge') => ledger.labels({ hop, outcome, reason });
    this.#refusals = metrics.counter('weir_edge_refusals_total', 'Connections closed by the frame gate', [
      'reason',
    ]);
    this.#holds = metrics.counter('weir_edge_holds_total', 'Times that a connection was held back', ['why']);
    this.#logins = metrics.counter('weir_edge_logins_refused_total', 'CONNECTs and requests refused', [
      'reason',
    ]);
    this.#connects = metrics.counter('weir_edge_connects_total', 'Accepted MQTT connections');
    this.#ack = metrics.tally(
      'weir_edge_ack_seconds',
      'From the arrival of a publish to its durable record',
      ACK_BUCKETS,
    );
    this.#sync = metrics.histogram('weir_edge_fsync_seconds', 'One group write and fsync', [], ACK_BUCKETS);
    this.#eventsDropped = metrics.counter(
      'weir_edge_events_dropped_total',
      'Device events shed by a full spool',
    );
    this.#requests = metrics.counter('weir_edge_http_requests_total', 'HTTP ingest requests', ['status']);
    this.#queueFull = metrics.counter(
      'weir_edge_queue_full_total',
      'Messages dropped because the queue of a client that is away is full',
    );
    this.#clockIgnored = metrics.counter(
      'weir_edge_clock_ignored_total',
      'Clocks of other edges that were too far ahead to be followed',
    );
    this.#commands = metrics.counter('weir_edge_commands_total', 'Commands by what became of them here', [
      'outcome',
    ]);
    this.#stored = this.#ledger('stored', '');
  }
  readonly #stored: { inc(n?: number): void };

  /** Gauges are read when somebody asks for the metrics. */
  observe(metrics: Metrics, gauges: EdgeGauges): void {
    metrics.gauge('weir_edge_connections', 'Open MQTT connections', [], (g) => g.set(gauges.connections()));
    metrics.gauge('weir_edge_connections_held', 'Connections held back by a full spool', [], (g) =>
      g.set(gauges.held()),
    );
    metrics.gauge('weir_edge_connections_arriving', 'Connections that wait to be let in', [], (g) =>
      g.set(gauges.arriving()),
    );
    metrics.gauge('weir_ledger_in_flight', 'Publishes that wait for their fsync', ['hop'], (g) =>
      g.set({ hop: 'edge' }, gauges.inFlight()),
    );
    metrics.gauge('weir_edge_fsync_waiting_bytes', 'Bytes that wait for their fsync', [], (g) =>
      g.set(gauges.pendingBytes()),
    );
    metrics.gauge(
      'weir_edge_clock_step_seconds',
      'How far the wall clock is ahead of the arrival times, which follow it slowly',
      [],
      (g) => g.set(this.#wallAheadMs / 1_000),
    );
    metrics.gauge(
      'weir_edge_clock_ahead_seconds',
      'How far the stamps that order events are ahead of the arrival times',
      [],
      (g) => g.set(gauges.clockAhead() / 1_000),
    );
  }

  published(qos: 0 | 1 | 2, count = 1): void {
    this.totals.publishes += count;
    this.#publishes[qos]?.inc(count);
  }
  /** `publishes` that came together: they have the same arrival, and became durable together. */
  accepted(readings: number, publishes: number, seconds: number): void {
    this.totals.accepted += readings;
    this.#stored.inc(readings);
    this.#ack.observe(seconds, publishes);
  }
  buried(reason: DeadLetterReason, count = 1): void {
    this.totals.buried += count;
    this.#ledger('dead_lettered', reason).inc(count);
  }
  dropped(reason: DropReason, readings: number, hop = 'edge'): void {
    this.totals.dropped += readings;
    this.#ledger('dropped', reason, hop).inc(readings);
    this.#limited(`dropped ${reason}`, (held) =>
      this.#log.warn({ reason, readings, held }, 'readings dropped: the spool takes no more'),
    );
  }
  /** A drop of `drop-oldest` happens on the way to one destination, after the reading was stored here. */
  droppedBySpool({ reason, destination, readings }: DroppedRecords): void {
    if (destination === null && readings === 0) this.eventDropped();
    else this.dropped(reason, readings, destination === null ? 'edge' : HOP_OF[destination]);
  }
  duplicate(readings: number): void {
    this.#ledger('duplicate', '').inc(readings);
  }
  eventDropped(): void {
    this.#eventsDropped.inc();
    this.#limited('events', (held) =>
      this.#log.warn({ held }, 'device events dropped: the spool takes no more'),
    );
  }
  queueFull(client: string): void {
    this.#queueFull.inc();
    this.#limited('queue', (held) =>
      this.#log.warn({ client, held }, 'a message for a client that is away was dropped: its queue is full'),
    );
  }
  requested(status: number): void {
    this.#requests.inc({ status: String(status) });
  }

  connected(): void {
    this.totals.connects++;
    this.#connects.inc();
  }
  refused(reason: GateRefusal): void {
    this.#refusals.inc({ reason });
    this.#limited(`gate ${reason}`, (held) =>
      this.#log.info({ reason, held }, 'connection closed by the frame gate'),
    );
  }
  held(why: 'window' | 'rate' | 'spool'): void {
    this.#holds.inc({ why });
  }
  loginRefused(reason: LoginRefusal, device: string): void {
    this.#logins.inc({ reason });
    this.#limited(`login ${reason}`, (held) =>
      this.#log.info({ reason, device: device.slice(0, 128), held }, 'device refused'),
    );
  }
  clientError(client: string | null, error: unknown): void {
    this.#limited('client', (held) =>
      this.#log.info({ client, error: errorMessage(error), held }, 'connection ended with an error'),
    );
  }
  /** A bug or a broken disk: the publish was not acknowledged and its connection was closed. */
  failed(doing: string, error: unknown): void {
    this.#limited(`failed ${doing}`, (held) =>
      this.#log.error({ err: error, held }, `${doing}: ${errorMessage(error)}`),
    );
  }
  spoolDamaged(damage: { file: string; position: number; bytes: number; records: number }): void {
    this.#log.error(damage, 'damaged bytes in the spool were skipped; later records survive');
  }
  spoolTorn(tail: { file: string; position: number; bytes: number }): void {
    this.#log.warn(tail, 'the spool ended in an unfinished write; it was cut at the last whole record');
  }
  /** About every second. A wall clock that was set is told once, until the arrival times have caught up. */
  clockFollowed(aheadMs: number, jumped: boolean): void {
    this.#wallAheadMs = aheadMs;
    const seconds = Math.round(aheadMs) / 1_000;
    if (jumped) {
      this.#log.warn(
        { seconds },
        'the clock of this host was set by a long way; arrival times jumped with it',
      );
    } else if (Math.abs(aheadMs) > SET_MS && !this.#wasSet) {
      this.#log.warn({ seconds }, 'the clock of this host was set; arrival times follow by 5 ms a second');
    }
    this.#wasSet = !jumped && Math.abs(aheadMs) > SET_MS;
  }
  clockIgnored(edge: string): void {
    this.#clockIgnored.inc();
    this.#limited('clock', (held) =>
      this.#log.warn(
        { edge: edge.slice(0, 128), held },
        'the clock of another edge is further ahead than edge.clockAhead: set it right, or events of both cannot be ordered',
      ),
    );
  }
  /** `missed`: its device left in the moment in which it was handed over. */
  command(outcome: 'delivered' | 'expired' | 'missed'): void {
    this.#commands.inc({ outcome });
  }
  commandUnreadable(why: string): void {
    this.#commands.inc({ outcome: 'unreadable' });
    this.#limited('command', (held) =>
      this.#log.warn({ why, held }, 'a message on weir.commands is no command; it was dropped'),
    );
  }
  commandNotTaken(why: string): void {
    this.#limited('command taken', (held) =>
      this.#log.warn({ why, held }, 'a command waits: it cannot be claimed or written down now'),
    );
  }
  synced(seconds: number): void {
    this.#sync.observe(seconds);
  }
  credentialsRead(devices: number, problems: readonly string[]): void {
    if (problems.length > 0) {
      this.#limited('credentials', () =>
        this.#log.warn({ problems }, 'some device credentials were skipped'),
      );
    }
    this.#log.debug({ devices }, 'device credentials read');
  }
  credentialsUnavailable(error: unknown, known: number): void {
    this.#limited('credentials away', (held) =>
      this.#log.warn(
        { error: errorMessage(error), known, held },
        'device credentials cannot be read; the last known ones go on working',
      ),
    );
  }
}
