import { encodeTopic, Link } from '@weir/connect-mqtt';
import { build } from 'hdr-histogram-js';
import { type PayloadName, payloadOf } from './payloads.ts';

/** What the benchmark asks of its sender, a process of its own. */
export interface SenderOptions {
  readonly port: number;
  readonly payload: PayloadName;
  readonly site: string;
  readonly connections: number;
  /** Publishes of one connection that wait for their acknowledgement. */
  readonly window: number;
  readonly devices: number;
  /** Event time of the first reading of each device; the next is a second later. Without effect with `hertz`. */
  readonly baseTs: number;
  /** Readings of each device a second, spread evenly, sent when their event time is there; as fast as it goes if absent. */
  readonly hertz?: number;
}

export interface SenderResult {
  readonly kind: 'done';
  /** Epoch milliseconds. */
  readonly firstSendAt: number;
  readonly lastAckAt: number;
  readonly messages: number;
  /** Of the PUBLISH packets. */
  readonly bytes: number;
  readonly payloadBytes: number;
  readonly ackMs: { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number };
}
export type SenderMessage =
  | { readonly kind: 'connected' }
  | { readonly kind: 'progress'; readonly acknowledged: number }
  | { readonly kind: 'failed'; readonly message: string }
  | SenderResult;
export interface RunMessage {
  readonly kind: 'run';
  /** Messages of this run, over all connections. */
  readonly messages: number;
}

interface Lane {
  /** 0 up to 1: where its first reading lies between two of a lane. */
  readonly shift: number;
  readonly salt: number;
  readonly link: Link;
  readonly topics: readonly Buffer[];
  /** When the publish in each slot of the window was sent. */
  readonly sentAt: Float64Array;
  readonly free: number[];
  /** Readings sent so far, over all runs. */
  sent: number;
  target: number;
}

const PUBLISH_HEADER = 4;
/** How often a paced sender looks for what is due. */
const PACE_MS = 5;
const tell = (message: SenderMessage): void => {
  process.send?.(message);
};

const options = JSON.parse(process.argv[2] ?? '{}') as SenderOptions;
const payload = payloadOf(options.payload);
const lanes: Lane[] = [];
let run = newRun(0);
/** When the paced sending began, epoch milliseconds. */
let pacedFrom = 0;

function newRun(messages: number) {
  return {
    messages,
    acknowledged: 0,
    bytes: 0,
    payloadBytes: 0,
    firstSendAt: 0,
    ackUs: build({ highestTrackableValue: 600_000_000, numberOfSignificantValueDigits: 3 }),
  };
}

/** Event time of the next reading of a connection, whose devices take turns. */
function nextTs({ sent, topics, shift }: Lane): number {
  if (options.hertz !== undefined)
    return pacedFrom + ((sent + shift) * 1000) / (topics.length * options.hertz);
  return options.baseTs + Math.floor(sent / topics.length) * 1000;
}

/** Fills the window of one connection with what is due. */
function fill(lane: Lane): void {
  const now = performance.now();
  const due = options.hertz === undefined ? Number.POSITIVE_INFINITY : Date.now();
  while (lane.sent < lane.target) {
    const ts = Math.floor(nextTs(lane));
    if (ts > due) return;
    const slot = lane.free.pop();
    if (slot === undefined) return;
    const turn = lane.sent % lane.topics.length;
    const step = (lane.sent - turn) / lane.topics.length;
    const topic = lane.topics[turn] as Buffer;
    const body = payload.body(ts, step + 1, lane.salt + turn);
    lane.sentAt[slot] = now;
    lane.link.publish(topic, body, { qos: 1, id: slot + 1 });
    lane.sent++;
    run.payloadBytes += body.length;
    run.bytes += body.length + topic.length + PUBLISH_HEADER + (body.length + topic.length > 125 ? 1 : 0);
  }
}

function acknowledged(lane: Lane, id: number): void {
  const slot = id - 1;
  run.ackUs.recordValue(Math.max(1, Math.round((performance.now() - (lane.sentAt[slot] as number)) * 1000)));
  lane.free.push(slot);
  if (++run.acknowledged === run.messages) finish();
  else fill(lane);
}

function finish(): void {
  const ms = (percentile: number): number => run.ackUs.getValueAtPercentile(percentile) / 1000;
  tell({
    kind: 'done',
    firstSendAt: run.firstSendAt,
    lastAckAt: Date.now(),
    messages: run.messages,
    bytes: run.bytes,
    payloadBytes: run.payloadBytes,
    ackMs: { p50: ms(50), p90: ms(90), p99: ms(99), max: run.ackUs.maxValue / 1000 },
  });
}

function begin(messages: number): void {
  run = newRun(messages);
  run.firstSendAt = Date.now();
  if (pacedFrom === 0) pacedFrom = run.firstSendAt;
  const share = Math.floor(messages / lanes.length);
  const extra = messages % lanes.length;
  for (const [i, lane] of lanes.entries()) lane.target = lane.sent + share + (i < extra ? 1 : 0);
  for (const lane of lanes) fill(lane);
}

function failed(error: Error): void {
  tell({ kind: 'failed', message: error.message });
}

async function connect(index: number): Promise<void> {
  const topics: Buffer[] = [];
  for (let device = index; device < options.devices; device += options.connections) {
    const name = `device-${String(device + 1).padStart(5, '0')}`;
    const base = `telemetry/v1/${options.site}/${name}`;
    topics.push(encodeTopic(payload.metric === undefined ? base : `${base}/${payload.metric}`));
  }
  const link = new Link(
    { host: '127.0.0.1', port: options.port, clientId: `bench-${index}` },
    { onAck: (id) => acknowledged(lane, id), onClose: failed },
  );
  const lane: Lane = {
    shift: index / options.connections,
    salt: index * options.devices,
    link,
    topics,
    sentAt: new Float64Array(options.window),
    free: Array.from({ length: options.window }, (_, slot) => slot),
    sent: 0,
    target: 0,
  };
  lanes.push(lane);
  await link.opened();
}

process.on('message', ({ messages }: RunMessage) => begin(messages));
process.on('disconnect', () => process.exit(0)); // The benchmark is gone.
if (options.hertz !== undefined) {
  setInterval(() => {
    for (const lane of lanes) fill(lane);
  }, PACE_MS);
}
let told = 0;
setInterval(() => {
  if (run.acknowledged === told) return;
  told = run.acknowledged;
  tell({ kind: 'progress', acknowledged: told });
}, 500);

try {
  await Promise.all(Array.from({ length: options.connections }, (_, index) => connect(index)));
  tell({ kind: 'connected' });
} catch (error) {
  failed(error as Error);
}
