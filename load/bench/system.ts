import { setTimeout as delay } from 'node:timers/promises';
import { WeirError } from '@weir/flow';
import { type PayloadName, payloadOf } from './payloads.ts';
import { CpuMeter, type CpuUse, peakMemory, type Roots } from './proc.ts';
import type { SenderResult } from './sender.ts';
import { Sender } from './sender-process.ts';

/** What the benchmark sends to: Weir, or the chain of tools that it is measured against. */
export interface SystemUnderTest {
  /** Where its broker listens on the loopback address. */
  readonly mqttPort: number;
  /** What a user runs beside the servers. */
  readonly clients: Roots;
  /** Brokers, databases and stores. */
  readonly servers: Roots;
  /** Counts what is sent from now on; nothing else may send meanwhile. */
  expect(load: Load): Promise<Arrivals>;
  stop(): Promise<void>;
}

export interface Load {
  readonly site: string;
  readonly payload: PayloadName;
  readonly say: (text: string) => void;
}

/** What has become of the messages of a load; all numbers count from its first one. */
export interface Arrivals {
  /** Resolves when the values of so many messages are committed in the database. */
  untilStored(messages: number): Promise<void>;
  /** Resolves when everything else that the system does with them is done, too. */
  untilSettled(messages: number): Promise<void>;
  /** Counts again what is there in the end. */
  recount(messages: number): Promise<Recount>;
}

/** Values. */
export interface Recount {
  readonly lost: number;
  readonly duplicates: number;
}

export interface RunOptions {
  readonly payload: PayloadName;
  readonly messages: number;
  readonly warmUp: number;
  readonly connections: number;
  readonly window: number;
  readonly devices: number;
  readonly say: (text: string) => void;
}

export interface Measurement<Look> extends Recount {
  readonly sent: SenderResult;
  /** First send → the last value was seen in the database, which is asked every POLL_MS. */
  readonly seconds: number;
  /** Over these seconds; the sender counts too. */
  readonly cpu: CpuUse;
  /** Largest resident memory of each client so far, MiB. */
  readonly clientMiB: Readonly<Record<string, number>>;
  readonly before: Look;
  readonly after: Look;
}

const POLL_MS = 100;
const STALLED_MS = 60_000;
const TELL_MS = 2_000;
const FUTURE_MARGIN_MS = 10_000;

/** Sends a warm-up and a measured load, waits for the end of it and recounts. `look`: figures before and after. */
export async function measure<Look>(
  system: SystemUnderTest,
  { payload, messages, warmUp, connections, window, devices, say }: RunOptions,
  look: () => Promise<Look>,
): Promise<Measurement<Look>> {
  const total = messages + warmUp;
  const steps = Math.ceil(total / devices) + 1;
  const site = `bench-${Date.now().toString(36)}`;
  const arrivals = await system.expect({ site, payload, say });
  const sender = new Sender(
    {
      ...{ port: system.mqttPort, payload, site, connections, window, devices },
      baseTs: Math.floor((Date.now() - steps * 1000 - FUTURE_MARGIN_MS) / 1000) * 1000,
    },
    (acknowledged) => say(`  ${acknowledged} acknowledged`),
  );
  try {
    await sender.connected();
    say(`Warm-up: ${warmUp} messages (${payload}) ...`);
    if (warmUp > 0) await sender.run(warmUp);
    await arrivals.untilStored(warmUp);
    await arrivals.untilSettled(warmUp);
    const before = await look();
    const meter = new CpuMeter(
      new Map([['sender', sender.process.pid ?? 0], ...system.clients, ...system.servers]),
    );
    say(`Sending ${messages} messages (${payload}) ...`);
    const sent = await sender.run(messages);
    say('Waiting for the last of them ...');
    await arrivals.untilStored(total);
    const seconds = (Date.now() - sent.firstSendAt) / 1_000;
    const cpu = meter.read();
    await arrivals.untilSettled(total);
    const after = await look();
    const clientMiB = peakMemory(system.clients);
    say('Recounting ...');
    return { sent, seconds, cpu, clientMiB, before, after, ...(await arrivals.recount(total)) };
  } finally {
    sender.end();
  }
}

/**
 * Asks until `missing` returns undefined; otherwise it says what is not there yet ("windows 3 of 10").
 * @throws WeirError WEIR_TIMEOUT with it when it has stayed the same for a minute.
 */
export async function untilArrived(
  missing: () => Promise<string | undefined>,
  say: (text: string) => void,
): Promise<void> {
  let last = { what: '', at: Date.now() };
  for (let told = last.at; ; await delay(POLL_MS)) {
    const what = await missing();
    if (what === undefined) return;
    const now = Date.now();
    if (what !== last.what) last = { what, at: now };
    else if (now - last.at > STALLED_MS)
      throw new WeirError(
        'WEIR_TIMEOUT',
        'fatal',
        `Not all that was sent has arrived, and no more came for ${STALLED_MS / 1_000} s: ${what}.`,
      );
    if (now - told > TELL_MS) {
      told = now;
      say(`  ${what}`);
    }
  }
}

/** Values of so many messages. */
export const valuesOf = (payload: PayloadName, messages: number): number =>
  messages * payloadOf(payload).values;
