import { PayloadScanner } from '@weir/reading';
import { classOf } from '../classes.ts';
import type { EdgeEvents } from '../events.ts';
import type { Lane, LaneGate } from '../gate/index.ts';
import type { Intake } from '../intake/intake.ts';
import { PublishLine } from '../intake/publish-line.ts';
import type { Broker } from './broker.ts';
import type { Session } from './session.ts';

export interface ExpressOptions {
  readonly intake: Intake;
  readonly events: EdgeEvents;
  readonly broker: Pick<Broker, 'hasWideSubscribers'>;
  /** How far a device time may lie ahead of the arrival, milliseconds. */
  readonly maxFutureMs: number;
  readonly maxReadings: number;
  readonly topicBytes: number;
}

/** What came with one socket read. */
interface Batch {
  /** Arrival, epoch milliseconds. */
  readonly at: number;
  /** Those that the policy of a full spool dropped are left out. */
  readings: number;
  /** Publishes they came with. */
  kept: number;
  qos0: number;
  /** Packet ids of the publishes with QoS 1. */
  readonly ids: number[];
}

/**
 * The way of nearly every publish: ordinary readings with QoS 0 or 1 that nobody subscribes to go from the bytes of a
 * socket read to those of the spool, and their acknowledgements back, all of one read at a time. What it takes comes
 * to what the hooks and aedes would make of it; everything else is theirs. See decision 0013 for what this saves.
 */
export class Express implements Lane {
  readonly #options: ExpressOptions;
  readonly #scanner = new PayloadScanner();
  readonly #line: PublishLine;
  #batch: Batch | null = null;

  constructor(options: ExpressOptions) {
    this.#options = options;
    this.#line = new PublishLine(options.intake.clock);
  }

  check(gate: LaneGate, bytes: Buffer, first: number, from: number, to: number): boolean {
    const { broker, intake, maxFutureMs, maxReadings, topicBytes } = this.#options;
    const qos = ((first >> 1) & 1) as 0 | 1;
    const topicEnd = from + 2 + (((bytes[from] as number) << 8) | (bytes[from + 1] as number));
    const payload = topicEnd + 2 * qos;
    // what is wrong with it the gate will say
    if (payload >= to || topicEnd - from - 2 > topicBytes || broker.hasWideSubscribers) return false;
    const mid = qos === 0 ? 0 : ((bytes[topicEnd] as number) << 8) | (bytes[topicEnd + 1] as number);
    if (qos === 1 && mid === 0) return false;
    const topic = (gate.session as Session).place(bytes, from + 2, topicEnd);
    if (topic === undefined) return false;
    const line = this.#line;
    // one arrival for all of a read
    line.at = this.#batch === null ? intake.clock.now() : this.#batch.at;
    const scanner = this.#scanner;
    const count = scanner.scan(bytes, payload, to, topic.metric, line.at);
    if (count === 0 || count > maxReadings || scanner.latestTs > line.at + maxFutureMs) return false;
    line.count = count;
    line.critical = false;
    if (topic.classes !== undefined)
      for (const { metric, value } of scanner.readings)
        line.critical ||= classOf(topic.classes, metric, value) === 'critical';
    line.place = topic;
    line.qos = qos;
    line.mid = mid;
    line.dup = (first & 8) !== 0;
    line.source = bytes;
    line.from = payload;
    line.to = to;
    return true;
  }

  take(): boolean {
    const line = this.#line;
    const readings = this.#offered();
    if (readings < 0) return false;
    this.#batch ??= { at: line.at, readings: 0, kept: 0, qos0: 0, ids: [] };
    const batch = this.#batch;
    batch.readings += readings;
    if (readings > 0) batch.kept++;
    if (line.qos === 0) batch.qos0++;
    else batch.ids.push(line.mid);
    return true;
  }

  /** As `offerLine`. What a bug or a broken disk throws here is thrown, told and answered on the way through aedes, too. */
  #offered(): number {
    try {
      return this.#options.intake.offerLine(this.#line);
    } catch {
      return -1;
    }
  }

  seal(gate: LaneGate): void {
    const batch = this.#batch;
    if (batch === null) return;
    this.#batch = null;
    const { intake, events } = this.#options;
    const { at, readings, kept, qos0, ids } = batch;
    if (qos0 > 0) events.published(0, qos0);
    if (ids.length > 0) events.published(1, ids.length);
    intake.settleLines(qos0 + ids.length, (error) => {
      if (error !== null) {
        gate.destroy(error);
        return;
      }
      if (readings > 0) events.accepted(readings, kept, (intake.clock.now() - at) / 1_000);
      gate.acknowledge(ids);
    });
  }
}
