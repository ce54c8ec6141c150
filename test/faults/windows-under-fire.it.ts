import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { seeded } from '@weir/load';
import {
  atEnd,
  freeOffset,
  type Isolated,
  type SpawnedApp,
  spawnApp,
  until,
  withDatabase,
} from '@weir/testkit';
import { TABLES } from '@weir/topology';
import { auditWindows } from '../support/audit.ts';
import { DisorderlyTraffic } from '../support/disorder.ts';
import { ownStack } from '../support/own-stack.ts';
import { startPipeline, weir } from '../support/pipeline.ts';
import { judge } from '../support/recompute.ts';
import { deadLetters, windowedReadings } from '../support/sinks.ts';

const PORT_OFFSET = 16_000;
/** Five minutes in the long variant: WEIR_FAULT_SECONDS=300. */
const SECONDS = Number(process.env.WEIR_FAULT_SECONDS ?? 45);
const SEED = Number(process.env.WEIR_FAULT_SEED ?? 20_261_121);
const EVERY_MS = 3_000;
const MOST_AGGREGATORS = 12;
const SESSION_MS = 6_000;
const HOUR_MS = 3_600_000;
const RULE = { outOfOrdernessMs: 2_000, allowedLatenessMs: 60_000 };
const ENV = {
  WEIR_AGGREGATOR__ALLOWED_LATENESS: '60s',
  WEIR_AGGREGATOR__OUT_OF_ORDERNESS: '2s',
  WEIR_KAFKA__SESSION_TIMEOUT: `${SESSION_MS}ms`,
};

/** The middle of the traffic is the start of an hour, so that windows of every level close under fire. */
const eventStart = (): number => Math.floor(Date.now() / HOUR_MS) * HOUR_MS - (SECONDS * 1_000) / 2;

/** Aggregators of one group, started, killed and frozen by chance. */
class Herd {
  readonly #t: TestContext;
  readonly #env: Readonly<Record<string, string>>;
  readonly #members: SpawnedApp[] = [];
  readonly #frozen = new Set<SpawnedApp>();
  readonly #thawing: Promise<void>[] = [];
  readonly done = { killed: 0, paused: 0, added: 0 };

  constructor(t: TestContext, env: Readonly<Record<string, string>>, first: SpawnedApp) {
    this.#t = t;
    this.#env = env;
    this.#members.push(first);
  }

  get size(): number {
    return this.#members.length;
  }
  /** Members that are not frozen. */
  get awake(): readonly SpawnedApp[] {
    return this.#members.filter((one) => !this.#frozen.has(one));
  }

  /** Does not wait until it is ready: what happens next may hit it while it joins. */
  async add(): Promise<SpawnedApp> {
    const env = { ...this.#env, WEIR_PORTS__OFFSET: String(await freeOffset(this.#t)) };
    const app = await spawnApp(this.#t, 'aggregator', env, { waitReady: false });
    this.#members.push(app);
    this.done.added++;
    return app;
  }

  async kill(app: SpawnedApp): Promise<void> {
    this.#members.splice(this.#members.indexOf(app), 1);
    await app.kill('SIGKILL');
    this.done.killed++;
  }

  async stop(app: SpawnedApp): Promise<void> {
    this.#members.splice(this.#members.indexOf(app), 1);
    assert.deepEqual(await app.stop(), { code: 0, signal: null });
  }

  /** Freezes it until the group has given its partitions to others. */
  async pause(app: SpawnedApp): Promise<void> {
    await app.kill('SIGSTOP');
    this.#frozen.add(app);
    this.done.paused++;
    const thaw = async (): Promise<void> => {
      await delay(SESSION_MS + 2_000);
      await app.kill('SIGCONT');
      this.#frozen.delete(app);
    };
    this.#thawing.push(thaw());
  }

  async thawed(): Promise<void> {
    await Promise.all(this.#thawing);
  }

  /** One of the three, by chance; never the last one that works. */
  async strike(random: () => number): Promise<void> {
    const { awake } = this;
    const victim = awake[Math.floor(random() * awake.length)] as SpawnedApp;
    const draw = random();
    if (awake.length < 2 || (draw < 0.4 && this.size < MOST_AGGREGATORS)) await this.add();
    else if (draw < 0.7) await this.kill(victim);
    else await this.pause(victim);
  }

  /** Partitions owned by each awake member. */
  async owned(): Promise<number[]> {
    return Promise.all(
      this.awake.map(async (app) => {
        const text = await app.metrics().catch(() => '');
        return Number(/^weir_aggregator_partitions\{.*\} (\d+)$/m.exec(text)?.[1] ?? 0);
      }),
    );
  }
}

/** Nothing is lost, doubled or wrong: by a recomputation of what was sent, and by `weir audit`. */
async function assertExact(t: TestContext, space: Isolated, traffic: DisorderlyTraffic): Promise<void> {
  const judged = traffic.sent.map((sent) => judge(sent, RULE));
  const counted = judged.flatMap((one) => one.counted);
  const late = judged.flatMap((one) => one.late);
  const duplicates = judged.reduce((sum, one) => sum + one.duplicates, 0);
  const windows = await auditWindows(space, counted, 180_000);
  // What is too late is in no window, so the last of it may come behind them; rows of devices follow within 15 s.
  await until(
    async () => {
      const letters = (await deadLetters(space)).filter(({ reason }) => reason === 'late');
      const ids = new Set(letters.map(({ headers }) => headers['x-dlq-id']));
      assert.equal(ids.size, late.length, 'as many dead letters as readings that are too late');
      const devices = await withDatabase(space.timescaleUrl, (client) =>
        client.query(
          `SELECT sum(late)::int AS late, sum(seq_missing)::int AS missing, count(*)::int AS devices FROM ${TABLES.devices}`,
        ),
      );
      const expected = { late: late.length, missing: 0, devices: traffic.devices.length };
      assert.deepEqual(devices.rows, [expected]);
      return true;
    },
    { deadlineMs: 60_000, what: 'all that is too late to be told', everyMs: 1_000 },
  );
  const report = JSON.parse(await weir(space.env, 'audit', '--json')) as {
    clean: boolean;
    levels: { level: string; tally: Record<'equal' | 'missing' | 'extra' | 'different', number> }[];
  };
  assert.equal(report.clean, true, JSON.stringify(report).slice(0, 5_000));
  for (const { tally } of report.levels) {
    const { missing, extra, different } = tally;
    assert.deepEqual([missing, extra, different], [0, 0, 0]);
    assert.ok(tally.equal > 0);
  }
  t.diagnostic(
    `${counted.length} readings counted, ${duplicates} duplicates, ${late.length} too late; ${windows} windows equal at ${report.levels.length} levels`,
  );
}

test(`aggregators killed, frozen and added every 3 s for ${SECONDS} s, PostgreSQL killed twice and frozen: every window is exact`, {
  timeout: (SECONDS + 500) * 1_000,
}, async (t) => {
  const stack = await ownStack(t, PORT_OFFSET);
  const { space, apps, mqttPort } = await startPipeline(t, { env: ENV });
  const random = seeded(SEED);
  const herd = new Herd(t, space.env, apps.aggregator);
  await herd.add();
  await herd.add();
  const traffic = new DisorderlyTraffic(t, {
    ...RULE,
    ...{ mqttPort, seed: SEED, devices: 200, hertz: 15, from: eventStart() },
  });
  await traffic.start();
  const began = performance.now();
  const ending = new AbortController();
  atEnd(t, () => ending.abort());
  const at = (share: number, what: () => Promise<void>): Promise<void> =>
    delay(SECONDS * 1_000 * share, undefined, { signal: ending.signal }).then(what);
  const restartDatabase = async (): Promise<void> => {
    await stack.kill('timescale', 'SIGKILL');
    await stack.start(['timescale']);
  };
  const database = Promise.all([
    at(0.2, restartDatabase),
    at(0.45, async () => {
      await stack.kill('timescale', 'SIGSTOP');
      await delay(5_000);
      await stack.kill('timescale', 'SIGCONT');
    }),
    at(0.75, restartDatabase),
  ]);
  database.catch(() => undefined);
  while (performance.now() - began < SECONDS * 1_000) {
    const next = delay(EVERY_MS);
    await herd.strike(random);
    await next;
  }
  await database;
  await traffic.settle();
  await herd.thawed();
  t.diagnostic(
    `seed ${SEED}: ${herd.done.killed} killed, ${herd.done.paused} paused, ${herd.done.added} added, ${herd.size} left; ${traffic.acknowledged} publishes acknowledged`,
  );
  await assertExact(t, space, traffic);
});

test('a group that grows from 1 to 2, 4 and 12 aggregators and shrinks again: every window is exact', {
  timeout: 700_000,
}, async (t) => {
  // Twelve processes that start at once on a small machine do not all find time for a heartbeat in 6 s.
  const { space, apps, mqttPort } = await startPipeline(t, {
    env: { ...ENV, WEIR_KAFKA__SESSION_TIMEOUT: '20s' },
  });
  const herd = new Herd(t, space.env, apps.aggregator);
  const traffic = new DisorderlyTraffic(t, {
    ...RULE,
    ...{ mqttPort, seed: SEED, devices: 60, hertz: 10, from: eventStart() },
  });
  await traffic.start();
  for (const size of [1, 2, 4, 12, 1]) {
    const before = performance.now();
    while (herd.size < size) await herd.add();
    // Some go in order, some do not.
    while (herd.size > size) {
      const app = herd.awake.at(-1) as SpawnedApp;
      await (herd.size % 2 === 0 ? herd.stop(app) : herd.kill(app));
    }
    const whole = Array.from({ length: size }, () => 12 / size);
    await until(async () => (await herd.owned()).join() === whole.join(), {
      deadlineMs: 120_000,
      what: `${size} aggregators with ${12 / size} partitions each`,
      everyMs: 200,
    });
    const stored = await windowedReadings(space);
    await until(async () => (await windowedReadings(space)) > stored + 500, {
      deadlineMs: 60_000,
      what: `windows written by ${size} aggregators`,
    });
    t.diagnostic(`${size} aggregators at work after ${((performance.now() - before) / 1_000).toFixed(1)} s`);
  }
  await traffic.settle();
  await assertExact(t, space, traffic);
});
