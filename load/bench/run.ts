import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { WeirError } from '@weir/flow';
import { PORTS } from '@weir/topology';
import { busySeconds, cpuSeconds } from './cpu.ts';
import { type PayloadName, payloadOf } from './payloads.ts';
import type { Pipeline } from './pipeline.ts';
import { type BenchResult, machine, PEER_MESSAGES_PER_SECOND } from './report.ts';
import { quantileOf, type Samples } from './scrape.ts';
import type { RunMessage, SenderMessage, SenderOptions, SenderResult } from './sender.ts';
import type { HopBytes, Sinks } from './sinks.ts';

export interface RunOptions {
  readonly payload: PayloadName;
  readonly messages: number;
  readonly warmUp: number;
  readonly connections: number;
  readonly window: number;
  readonly devices: number;
  readonly say: (text: string) => void;
}

const SEND_MS = 240_000;
const ARRIVE_MS = 180_000;
const POLL_MS = 200;
const FUTURE_MARGIN_MS = 10_000;

/** The sending process. */
export class Sender {
  readonly process: ChildProcess;
  #waiting: { resolve: (message: SenderMessage) => void; reject: (error: Error) => void } | undefined;
  readonly #onProgress: (acknowledged: number) => void;

  constructor(options: SenderOptions, onProgress: (acknowledged: number) => void) {
    this.#onProgress = onProgress;
    this.process = fork(join(import.meta.dirname, 'sender.ts'), [JSON.stringify(options)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.process.on('message', (message: SenderMessage) => {
      if (message.kind === 'progress') this.#onProgress(message.acknowledged);
      else if (message.kind === 'failed') this.#fail(message.message);
      else this.#waiting?.resolve(message);
    });
    this.process.on('exit', (code) => this.#fail(`the sender ended with exit code ${code}`));
  }

  async connected(): Promise<void> {
    await this.#next(30_000);
  }
  async run(messages: number): Promise<SenderResult> {
    const answer = this.#next(SEND_MS);
    this.process.send({ kind: 'run', messages } satisfies RunMessage);
    return (await answer) as SenderResult;
  }
  end(): void {
    this.process.removeAllListeners('exit');
    if (this.process.connected) this.process.disconnect();
  }

  #next(deadlineMs: number): Promise<SenderMessage> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(late('The sender did not finish', deadlineMs)), deadlineMs);
      const settle =
        <T>(act: (value: T) => void) =>
        (value: T) => {
          clearTimeout(timer);
          this.#waiting = undefined;
          act(value);
        };
      this.#waiting = { resolve: settle(resolve), reject: settle(reject) };
    });
  }
  #fail(message: string): void {
    this.#waiting?.reject(new WeirError('WEIR_CONNECTION_LOST', 'fatal', `Sending failed: ${message}.`));
  }
}

const late = (what: string, ms: number): WeirError =>
  new WeirError('WEIR_TIMEOUT', 'fatal', `${what} within ${ms / 1000} s.`);

/** Waits until every branch has everything that was sent since `before`. */
async function untilArrived(
  sinks: Sinks,
  wanted: { readonly messages: number; readonly values: number },
  say: (text: string) => void,
): Promise<void> {
  const deadline = Date.now() + ARRIVE_MS;
  let last = { windows: 0, archive: 0, rabbitmq: 0 };
  for (let told = Date.now(); Date.now() < deadline; await delay(POLL_MS)) {
    last = await sinks.arrived();
    if (last.windows >= wanted.values && last.archive >= wanted.messages && last.rabbitmq >= wanted.values)
      return;
    if (Date.now() - told < 2_000) continue;
    told = Date.now();
    const { windows, archive, rabbitmq } = last;
    say(
      `  windows ${windows} of ${wanted.values}, archive ${archive} of ${wanted.messages}, RabbitMQ ${rabbitmq} of ${wanted.values}`,
    );
  }
  throw late(
    `Only ${last.windows} of ${wanted.values} values are in windows, ${last.archive} of ${wanted.messages} messages in the archive and ${last.rabbitmq} of ${wanted.values} values through RabbitMQ: not all arrived`,
    ARRIVE_MS,
  );
}

/** When the windows of everything were committed: asked often, because the archive waits for the age of its objects. */
async function untilWindows(sinks: Sinks, values: number): Promise<number> {
  const deadline = Date.now() + ARRIVE_MS;
  for (; Date.now() < deadline; await delay(POLL_MS)) {
    if ((await sinks.arrived()).windows >= values) return sinks.lastCommit();
  }
  throw late('The windows were not complete', ARRIVE_MS);
}

/** One payload: warm-up, the measured run, the recount. */
export async function runPayload(
  pipeline: Pipeline,
  sinks: Sinks,
  options: RunOptions,
): Promise<BenchResult> {
  const { messages, warmUp, connections, window, devices, say } = options;
  const payload = payloadOf(options.payload);
  const total = messages + warmUp;
  const steps = Math.ceil(total / devices) + 1;
  const site = `bench-${options.payload}`;
  const begin = await sinks.arrived();
  const wanted = (count: number) => ({
    messages: begin.archive + count,
    values: begin.windows + count * payload.values,
  });
  const sender = new Sender(
    {
      port: PORTS.mqtt + pipeline.portOffset,
      payload: options.payload,
      site,
      connections,
      window,
      devices,
      baseTs: Math.floor((Date.now() - steps * 1000 - FUTURE_MARGIN_MS) / 1000) * 1000,
    },
    (acknowledged) => say(`  ${acknowledged} acknowledged`),
  );
  try {
    await sender.connected();
    say(`Warm-up: ${warmUp} messages (${options.payload}) ...`);
    if (warmUp > 0) await sender.run(warmUp);
    await untilArrived(sinks, wanted(warmUp), say);
    const processes = new Map([['sender', sender.process.pid ?? 0], ...pipeline.processes]);
    const before = {
      samples: await sinks.samples(),
      bytes: await sinks.bytes(),
      cpu: cpuSeconds(processes),
      busy: busySeconds(),
    };
    say(`Sending ${messages} messages (${options.payload}) ...`);
    const sent = await sender.run(messages);
    say('Waiting for the last window, object and message ...');
    const lastCommit = await untilWindows(sinks, wanted(total).values);
    const measured = { cpu: cpuSeconds(processes), busy: busySeconds(), at: Date.now() };
    await untilArrived(sinks, wanted(total), say);
    const after = { samples: await sinks.samples(), bytes: await sinks.bytes() };
    say('Recounting in the database and the archive ...');
    const inWindows = await sinks.countWindows(site);
    const inArchive = await sinks.countArchive();
    const lost = Math.max(
      total * payload.values - inWindows,
      (wanted(total).messages - inArchive) * payload.values,
    );
    const seconds = (lastCommit - sent.firstSendAt) / 1000;
    const cpu = [...processes.keys()].map(
      (name) => [name, (measured.cpu.get(name) ?? 0) - (before.cpu.get(name) ?? 0)] as const,
    );
    const busy = measured.busy - before.busy;
    const own = cpu.reduce((sum, [, used]) => sum + used, 0);
    const cores = Number.parseInt(machine().cpus, 10);
    return {
      date: new Date().toISOString(),
      machine: machine(),
      payload: options.payload,
      payloadBytes: sent.payloadBytes / messages,
      messages,
      values: messages * payload.values,
      connections,
      devices,
      window,
      seconds,
      messagesPerSecond: messages / seconds,
      valuesPerSecond: (messages * payload.values) / seconds,
      acknowledgedPerSecond: (messages * 1000) / (sent.lastAckAt - sent.firstSendAt),
      lost,
      ackMs: sent.ackMs,
      freshness: freshness(before.samples, after.samples),
      bytesPerMessage: bytesPerMessage(before.bytes, after.bytes, sent, messages),
      cpuMicroseconds: Object.fromEntries(cpu.map(([name, used]) => [name, (used * 1e6) / messages])),
      cpuBusy: busy / (cores * ((measured.at - sent.firstSendAt) / 1000)),
      cpuForeign: busy === 0 ? 0 : Math.max(0, 1 - own / busy),
      // The peer chain was measured with one reading a message.
      ...(payload.values === 1 ? { peerMessagesPerSecond: PEER_MESSAGES_PER_SECOND } : {}),
    };
  } finally {
    sender.end();
  }
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
