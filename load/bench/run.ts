import { microsecondsEach } from './proc.ts';
import { type BenchResult, machine } from './report.ts';
import { quantileOf, type Samples } from './scrape.ts';
import type { SenderResult } from './sender.ts';
import { measure, type RunOptions, valuesOf } from './system.ts';
import type { HopBytes, Weir } from './weir.ts';

/** One payload: warm-up, the measured run, the recount. */
export async function runPayload(weir: Weir, options: RunOptions): Promise<BenchResult> {
  const { messages, payload, connections, devices, window } = options;
  const look = async () => ({ samples: await weir.samples(), bytes: await weir.bytes() });
  const { sent, seconds, cpu, lost, clientMiB, before, after } = await measure(weir, options, look);
  const values = valuesOf(payload, messages);
  return {
    date: new Date().toISOString(),
    machine: machine(),
    payload,
    payloadBytes: sent.payloadBytes / messages,
    ...{ messages, values, connections, devices, window, seconds },
    messagesPerSecond: messages / seconds,
    valuesPerSecond: values / seconds,
    acknowledgedPerSecond: (messages * 1000) / (sent.lastAckAt - sent.firstSendAt),
    lost,
    ackMs: sent.ackMs,
    freshness: freshness(before.samples, after.samples),
    bytesPerMessage: bytesPerMessage(before.bytes, after.bytes, sent, messages),
    cpuMicroseconds: microsecondsEach(cpu, messages),
    cpuBusy: cpu.busy,
    cpuForeign: cpu.foreign,
    clientMiB,
  };
}

function freshness(before: Samples, after: Samples): BenchResult['freshness'] {
  const name = 'weir_end_to_end_seconds';
  const stages = new Set(
    [...after.keys()].map((key) => new RegExp(`^${name}_bucket.*stage="(\\w+)"`).exec(key)?.[1]),
  );
  stages.delete(undefined);
  return Object.fromEntries(
    [...stages].map((stage) => {
      const label = `stage="${stage}"`;
      const at = (q: number) => quantileOf(before, after, name, label, q);
      return [stage, { p50: at(0.5), p99: at(0.99) }];
    }),
  );
}

function bytesPerMessage(
  before: HopBytes,
  after: HopBytes,
  sent: SenderResult,
  messages: number,
): BenchResult['bytesPerMessage'] {
  const grown = (name: keyof HopBytes): number | null => {
    const [from, to] = [before[name], after[name]];
    return from === null || to === null ? null : (to - from) / messages;
  };
  return {
    mqtt: sent.bytes / messages,
    kafka: grown('kafka'),
    rabbitmq: grown('rabbitmq'),
    postgresWal: grown('postgresWal'),
    archiveRaw: grown('archiveRaw'),
    archiveStored: grown('archiveStored'),
  };
}
