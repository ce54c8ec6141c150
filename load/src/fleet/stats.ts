import { Histogram } from '../measure/histogram.ts';

export interface FleetFigures {
  readonly devices: number;
  readonly connected: number;
  /** Readings put on the wire for the first time. */
  readonly sent: number;
  /** Readings put on the wire again after a reconnect. */
  readonly resent: number;
  readonly acknowledged: number;
  /** Connections that the broker refused (wrong credential, device not allowed). */
  readonly refused: number;
  readonly reconnects: number;
  /** Readings measured and not acknowledged. */
  readonly buffered: number;
  /** Readings pushed out of a full buffer. */
  readonly dropped: number;
  /** From first send to acknowledgement, milliseconds. */
  readonly ackMs: { readonly p50: number; readonly p99: number; readonly max: number };
}

/** Counters of a fleet. */
export class FleetStats {
  readonly #ack = new Histogram();
  sent = 0;
  resent = 0;
  acknowledged = 0;
  refused = 0;
  reconnects = 0;
  dropped = 0;

  recordAck(ms: number): void {
    this.acknowledged++;
    this.#ack.record(ms);
  }

  figures(devices: number, connected: number, buffered: number): FleetFigures {
    const ms = (percentile: number): number => (this.#ack.latency === null ? 0 : this.#ack.at(percentile));
    const { sent, resent, acknowledged, refused, reconnects, dropped } = this;
    return {
      devices,
      connected,
      sent,
      resent,
      acknowledged,
      refused,
      reconnects,
      buffered,
      dropped,
      ackMs: { p50: ms(50), p99: ms(99), max: ms(100) },
    };
  }
}
