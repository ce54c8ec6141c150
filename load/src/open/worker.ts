import { errorMessage } from '@weir/flow';
import { statOf } from '@weir/infra';
import { modelOf } from '../fleet/models.ts';
import { seeded, seedOf } from '../fleet/random.ts';
import { Histogram } from '../measure/histogram.ts';
import { classesOf, planConnections } from '../scenario/fleet-plan.ts';
import type { DeviceClass } from '../scenario/schema.ts';
import { TimeHeap } from './heap.ts';
import { Lane, LaneDevice, type Measures } from './lane.ts';
import {
  type Assignment,
  type FromWorker,
  type LatencyPart,
  noCounts,
  type Sent,
  type Tick,
  type ToWorker,
} from './messages.ts';

const TICK_MS = 1_000;
const POLL_MS = 20;
/** Devices in one message about what was sent. */
const CHUNK = 1_000;
/** More than the phases of any scenario; makes one number of class and phase. */
const PHASES = 1_000;

const tell = (message: FromWorker): void => {
  process.send?.(message);
};

/** Metric models of one device. */
function metricsOf(spec: DeviceClass, seed: number, name: string): LaneDevice['metrics'] {
  const random = seeded(seedOf(seed, `${name}/values`));
  const metrics = spec.metrics.map(({ name: metric, unit, model }) => ({
    name: metric,
    unit,
    next: modelOf(model, random),
  }));
  return metrics as unknown as LaneDevice['metrics'];
}

interface Seated {
  readonly device: LaneDevice;
  readonly lane: Lane;
}

/** Runs its part of the schedule. */
class Worker {
  readonly #assignment: Assignment;
  readonly #classes: readonly DeviceClass[];
  readonly #lanes: Lane[] = [];
  readonly #devices: Seated[] = [];
  readonly #due: TimeHeap;
  readonly #switches: TimeHeap;
  /** Next change of each lane: even: dials at the end of an outage, odd: is cut at the start of the next. */
  readonly #steps: Int32Array;
  readonly #measures: Measures;
  readonly #counts = noCounts();
  readonly #acknowledged: number[];
  readonly #acks = new Map<number, Histogram>();
  readonly #connect = new Histogram();
  readonly #slip = new Histogram();
  /** On the clock of `performance.now()`. */
  #zero = 0;
  readonly #timers: NodeJS.Timeout[] = [];
  #horizon = Number.POSITIVE_INFINITY;
  #deadline: number;

  constructor(assignment: Assignment) {
    this.#assignment = assignment;
    const { scenario, worker, targets, secrets } = assignment;
    this.#classes = classesOf(scenario);
    this.#acknowledged = this.#classes.map(() => 0);
    this.#deadline = scenario.duration + scenario.drain;
    this.#measures = {
      counts: this.#counts,
      startAt: 0,
      now: () => performance.now() - this.#zero,
      acknowledged: (classIndex, at, now) => this.#ack(classIndex, at, now),
      connected: (ms) => this.#connect.record(ms),
      slipped: (ms) => this.#slip.record(ms),
      trouble: (message) => tell({ kind: 'trouble', message }),
    };
    for (const plan of planConnections(scenario, assignment, worker)) {
      const spec = this.#classes[plan.classIndex] as DeviceClass;
      const first = this.#devices.length;
      const devices = plan.devices.map(
        (one, i) => new LaneDevice(one, first + i, metricsOf(spec, scenario.seed, one.name)),
      );
      const target = targets[plan.target] as Assignment['targets'][number];
      const secret = secrets[plan.devices[0]?.name ?? ''];
      const lane = new Lane(plan, spec, devices, target, secret, this.#measures, (one) => this.#drain(one));
      for (const device of devices) this.#devices.push({ device, lane });
      this.#lanes.push(lane);
    }
    this.#due = new TimeHeap(this.#devices.length);
    this.#switches = new TimeHeap(this.#lanes.length);
    this.#steps = new Int32Array(this.#lanes.length);
    for (const { device } of this.#devices) if (device.next()) this.#due.push(device.cursor.at, device.item);
    for (const [i, { plan }] of this.#lanes.entries()) this.#switches.push(plan.outages[0]?.to ?? 0, i);
  }

  /** @param startAt epoch milliseconds of the schedule's zero */
  begin(startAt: number): void {
    this.#zero = startAt - performance.timeOrigin;
    this.#measures.startAt = startAt;
    this.#timers.push(setInterval(() => this.#step(), this.#assignment.scenario.pace));
    this.#timers.push(setInterval(() => tell(this.#tick()), TICK_MS));
    this.#timers.push(setInterval(() => this.#finishWhenOver(), POLL_MS));
  }

  stop(): void {
    this.#horizon = Math.min(this.#horizon, this.#now());
    this.#deadline = Math.min(this.#deadline, this.#horizon + this.#assignment.scenario.drain);
  }

  #now(): number {
    return performance.now() - this.#zero;
  }

  #step(): void {
    const now = this.#now();
    if (now < 0) return;
    while (this.#switches.time <= now && this.#switches.time <= this.#horizon) this.#switch();
    const until = Math.min(now, this.#horizon);
    while (this.#due.time <= until) {
      const { device, lane } = this.#devices[this.#due.item] as Seated;
      if (lane.waiting.length > 0 || !lane.hasRoom) {
        lane.waiting.push(device);
        this.#counts.waiting++;
        this.#due.pop();
        continue;
      }
      lane.publish(device);
      if (device.next()) this.#due.retime(device.cursor.at);
      else this.#due.pop();
    }
  }

  #switch(): void {
    const i = this.#switches.item;
    const lane = this.#lanes[i] as Lane;
    const { outages } = lane.plan;
    const step = this.#steps[i] as number;
    this.#steps[i] = step + 1;
    if (step % 2 === 0) lane.dial();
    else lane.cut();
    const outage = outages[(step + 2) >> 1];
    const next = step % 2 === 0 ? outage?.from : outage?.to;
    if (next === undefined) this.#switches.pop();
    else this.#switches.retime(next);
  }

  /** Sends what waits on a lane while there is room. */
  #drain(lane: Lane): void {
    const { keep } = this.#classes[lane.plan.classIndex] as DeviceClass;
    const now = this.#now();
    const until = Math.min(now, this.#horizon);
    while (lane.waiting.length > 0 && lane.hasRoom) {
      const device = lane.waiting[0] as LaneDevice;
      if (device.cursor.at <= until) {
        if (now - device.cursor.at > keep) this.#counts.unsent++;
        else lane.publish(device);
        if (device.next() && device.cursor.at <= until) {
          // Its next one is due as well: the others had theirs before.
          if (lane.waiting.length > 1) lane.waiting.push(lane.waiting.shift() as LaneDevice);
          continue;
        }
      }
      lane.waiting.shift();
      this.#counts.waiting--;
      if (!device.isOver) this.#due.push(device.cursor.at, device.item);
    }
  }

  #ack(classIndex: number, at: number, now: number): void {
    (this.#acknowledged[classIndex] as number)++;
    const { warmUp, phases } = this.#assignment.scenario;
    if (at < warmUp) return;
    const phase = phases.findIndex(({ from, for: lasts }) => at >= from && at < from + lasts);
    const key = classIndex * PHASES + phase + 1;
    let acks = this.#acks.get(key);
    if (acks === undefined) {
      acks = new Histogram();
      this.#acks.set(key, acks);
    }
    acks.record(now - at);
  }

  #tick(): Tick {
    const parts: LatencyPart[] = [];
    for (const [key, acks] of this.#acks)
      if (acks.count > 0)
        parts.push({ classIndex: Math.floor(key / PHASES), phase: (key % PHASES) - 1, ack: acks.take() });
    return {
      kind: 'tick',
      counts: { ...this.#counts },
      acknowledged: [...this.#acknowledged],
      parts,
      connect: this.#connect.take(),
      slip: this.#slip.take(),
      cpuSeconds: statOf(process.pid)?.cpuSeconds ?? 0,
    };
  }

  #isOver(): boolean {
    const now = this.#now();
    if (now >= this.#deadline) return true;
    if (this.#due.time <= this.#horizon && this.#due.size > 0) return false;
    if (now < Math.min(this.#horizon, this.#assignment.scenario.duration)) return false;
    return this.#counts.waiting === 0 && this.#lanes.every((lane) => lane.inFlight === 0);
  }

  #finishWhenOver(): void {
    if (!this.#isOver()) return;
    for (const timer of this.#timers) clearInterval(timer);
    this.#finish().catch((error: unknown) => {
      tell({ kind: 'trouble', message: errorMessage(error) });
      process.exit(1);
    });
  }

  async #finish(): Promise<void> {
    const { scenario } = this.#assignment;
    const until = Math.min(this.#horizon, scenario.duration + scenario.drain);
    for (const { device } of this.#devices) {
      for (; !device.isOver && device.cursor.at <= until; device.next()) this.#counts.unsent++;
      // What would have been sent later still counts when nobody ended the run.
      for (; !device.isOver && this.#horizon === Number.POSITIVE_INFINITY; device.next())
        this.#counts.unsent++;
    }
    tell(this.#tick());
    for (let i = 0; i < this.#devices.length; i += CHUNK) {
      const devices = this.#devices.slice(i, i + CHUNK).map(
        ({ device }): Sent => ({
          id: device.plan.id,
          sent: device.sent.bytes,
          acknowledged: device.acknowledged.bytes,
        }),
      );
      tell({ kind: 'sent', devices });
    }
    await Promise.all(this.#lanes.map((lane) => lane.end()));
    // The tool disconnects when it has all of it: to do that here would lose what is not written yet.
    tell({ kind: 'done' });
  }
}

let worker: Worker | undefined;
process.on('message', (message: ToWorker) => {
  if (message.kind === 'stop') worker?.stop();
  else if (message.kind === 'plan') {
    worker = new Worker(message.assignment);
    tell({ kind: 'ready' });
  } else worker?.begin(message.startAt);
});
// The tool is gone, or has all it wanted.
process.on('disconnect', () => process.exit(0));
// Signals reach every process of the group; the tool asks for the end itself.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
