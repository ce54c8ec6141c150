import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Client, openClient } from '@weir/connect-mqtt';
import { PORTS } from '@weir/topology';
import { openPipeline, type Pipeline, type PipelineOptions, ROOT } from './pipeline.ts';
import { CpuMeter, microsecondsEach } from './proc.ts';
import { type Machine, machine, round, saveResult } from './report.ts';
import { Sender } from './sender-process.ts';
import { cpuLine, histogram, type Spread, spread, spreadLine } from './spread.ts';

export interface AlertsOptions extends Omit<PipelineOptions, 'apps' | 'configFile'> {
  readonly devices: number;
  /** Background readings of each device a second. */
  readonly hertz: number;
  readonly connections: number;
  readonly window: number;
  /** Length of the measurement, after WARM_UP_S. */
  readonly seconds: number;
  readonly json: boolean;
  readonly save: boolean;
}

interface AlertsResult {
  readonly date: string;
  readonly machine: Machine;
  readonly devices: number;
  readonly hertz: number;
  /** Of the background, as they were acknowledged. */
  readonly readingsPerSecond: number;
  /** Publish of the reading by its device → the webhook has arrived. */
  readonly latencyMs: Readonly<Record<'firing' | 'resolved', Spread>>;
  /** Alerts whose webhook did not come within LOST_MS. */
  readonly lost: number;
  /** Webhooks that came twice. */
  readonly repeated: number;
  readonly cpuMicroseconds: Readonly<Record<string, number>>;
  readonly cpuForeign: number;
}

const SITE = 'bench-alerts';
const WARM_UP_S = 15;
const COOL_DOWN_S = 10;
/** A reading that crosses the limit is sent this often. */
const PROBE_MS = 50;
const PROBES = 400;
const LOST_MS = 30_000;
/** What the 99th percentile may be. */
const LIMIT_MS = 500;
const SECOND = 1_000;

/** One rule is for the probes; the other one makes every background reading count and never fires. */
const rules = [
  { id: 'probe', metric: 'alarm', above: 50, severity: 'critical' },
  { id: 'background', metric: 'temperature', above: 1e9 },
];

interface WebhookBody {
  readonly id: string;
  readonly alerts: readonly { readonly device: string; readonly state: 'firing' | 'resolved' }[];
}

/** Devices whose readings cross the limit and come back, each after the webhook of the crossing. */
class Probes {
  readonly latency = { firing: histogram(), resolved: histogram() };
  repeated = 0;
  lost = 0;
  measuring = false;
  readonly #free: string[] = Array.from({ length: PROBES }, (_, n) => `probe-${n + 1}`);
  /** What each device waits for, since when: performance.now(). */
  readonly #waiting = new Map<string, { readonly state: 'firing' | 'resolved'; readonly since: number }>();
  readonly #seen = new Set<string>();
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** A webhook has arrived. */
  heard({ id, alerts }: WebhookBody): void {
    const now = performance.now();
    if (this.#seen.has(id)) this.repeated++;
    this.#seen.add(id);
    for (const { device, state } of alerts) {
      const waiting = this.#waiting.get(device);
      if (waiting?.state !== state) continue;
      if (this.measuring) this.latency[state].recordValue(Math.round(now - waiting.since));
      this.#waiting.delete(device);
      if (state === 'firing') this.#send(device, 0, 'resolved');
      else this.#free.push(device);
    }
  }

  async run(until: number): Promise<void> {
    for (let next = Date.now(); Date.now() < until; next += PROBE_MS) {
      const device = this.#free.shift();
      if (device !== undefined) this.#send(device, 100, 'firing');
      await delay(Math.max(0, next + PROBE_MS - Date.now()));
    }
  }

  /** Until nothing is awaited any more; what never comes is lost. */
  async settle(): Promise<void> {
    const end = Date.now() + LOST_MS;
    while (this.#waiting.size > 0 && Date.now() < end) await delay(PROBE_MS);
    this.lost = this.#waiting.size;
  }

  #send(device: string, value: number, state: 'firing' | 'resolved'): void {
    this.#waiting.set(device, { state, since: performance.now() });
    const body = JSON.stringify({ ts: Date.now(), value });
    this.#client.publish(`telemetry/v1/${SITE}/${device}/alarm`, body, 1).catch(() => {
      // Counts as lost: its webhook never comes.
    });
  }
}

/** From the publish of a reading to the webhook of its alert, beside a steady rate of readings. Exit code: 1 when too late. */
export async function alerts(options: AlertsOptions): Promise<number> {
  const { dataDir, say } = options;
  let heard: (body: WebhookBody) => void = () => undefined;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      heard(JSON.parse(Buffer.concat(chunks).toString()) as WebhookBody);
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const notifiers = [
    { id: 'bench', kind: 'webhook', url: `http://127.0.0.1:${port}/`, secret: 'secret-of-the-benchmark' },
  ];
  const configFile = join(dataDir, 'weir.yaml');
  const base = readFileSync(join(ROOT, 'load/bench/weir.yaml'), 'utf8');
  writeFileSync(configFile, `${base}\nalerter: ${JSON.stringify({ rules, notifiers })}\n`);
  const pipeline = await openPipeline({ ...options, configFile });
  try {
    const client = await openClient({
      url: `mqtt://127.0.0.1:${PORTS.mqtt + pipeline.portOffset}`,
      clientId: 'bench-probes',
    });
    const probes = new Probes(client);
    heard = (body) => probes.heard(body);
    const result = await measure(pipeline, probes, options);
    await client.close();
    process.stdout.write(`${options.json ? JSON.stringify(result) : render(result)}\n`);
    if (options.save) say(`Written to ${saveResult(result, 'alerts')}.`);
    const wrong = complaints(result, options.devices * options.hertz);
    for (const sentence of wrong) say(`Not good enough: ${sentence}.`);
    return wrong.length === 0 ? 0 : 1;
  } finally {
    say('Stopping ...');
    await pipeline.stop();
    server.closeAllConnections();
    server.close();
  }
}

async function measure(pipeline: Pipeline, probes: Probes, options: AlertsOptions): Promise<AlertsResult> {
  const { devices, hertz, connections, window, seconds, say } = options;
  const rate = devices * hertz;
  const sender = new Sender(
    {
      ...{ port: PORTS.mqtt + pipeline.portOffset, payload: 'one-value', site: SITE },
      ...{ connections, window, devices, baseTs: 0, hertz },
    },
    () => undefined,
  );
  try {
    await sender.connected();
    say(`Warm-up: ${WARM_UP_S} s at ${rate} readings/s ...`);
    const sending = sender.run(rate * (WARM_UP_S + seconds + COOL_DOWN_S));
    sending.catch(() => undefined);
    await probes.run(Date.now() + WARM_UP_S * SECOND);
    const meter = new CpuMeter(
      new Map([['sender', sender.process.pid ?? 0], ...pipeline.clients, ...pipeline.servers]),
    );
    say(`Raising alerts for ${seconds} s ...`);
    probes.measuring = true;
    await probes.run(Date.now() + seconds * SECOND);
    const cpu = meter.read();
    await probes.settle();
    const sent = await sending;
    return {
      date: new Date().toISOString(),
      machine: machine(),
      devices,
      hertz,
      readingsPerSecond: (sent.messages * SECOND) / (sent.lastAckAt - sent.firstSendAt),
      latencyMs: { firing: spread(probes.latency.firing), resolved: spread(probes.latency.resolved) },
      lost: probes.lost,
      repeated: probes.repeated,
      cpuMicroseconds: microsecondsEach(cpu, rate * seconds),
      cpuForeign: cpu.foreign,
    };
  } finally {
    sender.end();
  }
}

function complaints(
  { latencyMs: { firing }, lost, readingsPerSecond }: AlertsResult,
  rate: number,
): string[] {
  const found: string[] = [];
  if (readingsPerSecond < 0.98 * rate)
    found.push(`${round(readingsPerSecond, 0)} readings/s were acknowledged, ${round(rate, 0)} were due`);
  if (firing.samples < 100) found.push(`only ${firing.samples} alerts were raised`);
  if (lost > 0) found.push(`${lost} webhooks never came`);
  if (firing.p99 > LIMIT_MS)
    found.push(
      `99 % of the webhooks came within ${firing.p99} ms of the reading, at most ${LIMIT_MS} ms expected`,
    );
  return found;
}

function render(result: AlertsResult): string {
  return [
    `alerts: ${round(result.devices, 0)} devices at ${result.hertz} Hz, ${round(result.readingsPerSecond, 0)} readings/s acknowledged beside them`,
    `  fires           ${spreadLine(result.latencyMs.firing)} from publish to webhook; limit p99 ${LIMIT_MS} ms`,
    `  resolves        ${spreadLine(result.latencyMs.resolved)}`,
    `  lost            ${result.lost}; told twice ${result.repeated}`,
    `  CPU µs/reading  ${cpuLine(result.cpuMicroseconds, result.cpuForeign)}`,
  ].join('\n');
}
