export const PAYLOADS = ['one-value', 'five-metrics'] as const;
export type PayloadName = (typeof PAYLOADS)[number];

export interface Payload {
  readonly name: PayloadName;
  /** Values in one message. */
  readonly values: number;
  /** Last level of the topic, when the payload names no metric. */
  readonly metric: string | undefined;
  /** `salt` differs between devices. */
  readonly body: (ts: number, seq: number, salt: number) => Buffer;
}

const METRICS = ['temperature', 'humidity', 'pressure', 'vibration', 'power'];

/** What a gateway adds to its readings; Weir archives it with them and reads only what it knows. */
const CONTEXT = {
  firmware: { version: '4.11.2-stable+build.20260114', channel: 'stable', bootloader: '2.0.7' },
  network: { rssi: -67, snr: 9.25, operator: 'plant-private-lte', cell: '26201-4711-0815-3', retries: 0 },
  power: { source: 'mains', batteryPercent: 98, batteryVolts: 3.981 },
  calibration: { date: '2026-01-02', certificate: 'DKD-K-12345-2026-00017', by: 'calibration lab 7' },
};
const CONTEXT_TEXT = JSON.stringify(CONTEXT);

/** Digits as a noisy sensor has them (the low bits of a multiplicative hash): regular ones would compress too well. */
const value = (ts: number, seq: number, metric: number): string => {
  const noise = (Math.imul(ts ^ Math.imul(seq + metric * 7919, 0x9e3779b1), 0x85ebca6b) >>> 12) % 10_000;
  return (20 + metric * 10 + noise / 1000).toFixed(3);
};

/** About 60 bytes with one value, and 500 to 1,000 bytes with five metrics and what a gateway adds. */
export function payloadOf(name: PayloadName): Payload {
  if (name === 'one-value') {
    return {
      name,
      values: 1,
      metric: 'temperature',
      body: (ts, seq, salt) =>
        Buffer.from(`{"ts":${ts},"seq":${seq},"value":${value(ts, seq, salt)},"unit":"C"}`),
    };
  }
  return {
    name,
    values: METRICS.length,
    metric: undefined,
    body: (ts, seq, salt) => {
      const values = METRICS.map((metric, i) => `"${metric}":${value(ts, seq, salt + i)}`).join(',');
      return Buffer.from(`{"ts":${ts},"seq":${seq},"values":{${values}},"context":${CONTEXT_TEXT}}`);
    },
  };
}
