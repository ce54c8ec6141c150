import { build, type Histogram } from 'hdr-histogram-js';

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

/** Counters of a fleet; latencies in microseconds, up to one hour, two significant digits. */
export class FleetStats {
  readonly ackUs: Histogram = build({
    highestTrackableValue: 3_600_000_000,
    numberOfSignificantValueDigits: 2,
  });
  sent = 0;
  resent = 0;
  acknowledged = 0;
  refused = 0;
  reconnects = 0;
  dropped = 0;

  recordAck(ms: number): void {
    this.acknowledged++;
    this.ackUs.recordValue(Math.max(1, Math.round(ms * 1000)));
  }

  figures(devices: number, connected: number, buffered: number): FleetFigures {
    const ms = (percentile: number): number => this.ackUs.getValueAtPercentile(percentile) / 1000;
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
      ackMs: { p50: ms(50), p99: ms(99), max: this.ackUs.maxValue / 1000 },
    };
  }
}
