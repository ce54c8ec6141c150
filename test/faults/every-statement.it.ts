import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { openProducer, type Producer } from '@weir/connect-kafka';
import { createLogger } from '@weir/observe';
import { ENVELOPE_CODEC, encodeEnvelope, envelopePrefix, partitionOf } from '@weir/reading';
import {
  atEnd,
  type Isolated,
  isolated,
  type SpawnedApp,
  spawnApp,
  until,
  withDatabase,
} from '@weir/testkit';
import { kafkaTopology, LEVELS, RECORD_HEADERS } from '@weir/topology';
import { auditWindows } from '../support/audit.ts';
import { weir } from '../support/pipeline.ts';
import type { KnownReading } from '../support/recompute.ts';
import { type StatementFault, StatementProxy } from '../support/statement-proxy.ts';

const log = createLogger({ app: 'test', level: 'error', format: 'json' });
const HOUR = 3_600_000;
/** In one partition, so that one record is one transaction. */
const DEVICES = sharing(['every-0', 'every-1']);
const SETTINGS = {
  // Late readings reach rows of two hours ago, so that every level has rows that change.
  WEIR_AGGREGATOR__ALLOWED_LATENESS: '3h',
  WEIR_AGGREGATOR__COMMIT_INTERVAL: '100ms',
  WEIR_AGGREGATOR__IDLE_TIMEOUT: '2s',
  WEIR_KAFKA__SESSION_TIMEOUT: '6s',
  ...Object.fromEntries(
    LEVELS.map(({ name }) => [`WEIR_RETENTION__WINDOWS__${name.toUpperCase()}`, 'forever']),
  ),
};
/** The statement that tells the transaction of the windows from any other. */
const MOVE = 'UPDATE partition_offsets';
/** More lanes wait for Kafka's sessions at the same time. */
const LANES = 5;
/** The longer variant: each fault with a dead aggregator too, and more than once. */
const ROUNDS = Number(process.env.WEIR_FAULT_ROUNDS ?? 1);

function sharing(names: readonly string[]): readonly string[] {
  const partition = partitionOf(names[0] as string, 12);
  return names.map((name, i) => {
    if (i === 0) return name;
    for (let n = 0; ; n++) if (partitionOf(`${name}-${n}`, 12) === partition) return `${name}-${n}`;
  });
}

/** An aggregator behind a proxy, and the log that it folds. */
class Lane {
  readonly space: Isolated;
  readonly proxy: StatementProxy;
  readonly known: KnownReading[] = [];
  readonly #producer: Producer;
  readonly #topic: string;
  readonly #partition = partitionOf(DEVICES[0] as string, 12);
  #hour = Math.floor(Date.now() / HOUR) - 2_000;
  #round = 0;
  #n = 0;
  #offset = 0;

  private constructor(space: Isolated, proxy: StatementProxy, producer: Producer) {
    this.space = space;
    this.proxy = proxy;
    this.#producer = producer;
    this.#topic = kafkaTopology(space.namespace).readings.name;
  }

  static async open(t: TestContext): Promise<Lane> {
    const own = await isolated(t);
    await weir(own.env, 'topology', 'apply');
    const proxy = await StatementProxy.open(t, own.timescaleUrl);
    const producer = openProducer({ brokers: own.brokers, clientId: 'test', log });
    atEnd(t, () => producer.close());
    return new Lane({ ...own, env: { ...own.env, ...SETTINGS } }, proxy, producer);
  }

  aggregator(t: TestContext): Promise<SpawnedApp> {
    const env = { ...this.space.env, WEIR_TIMESCALE__URL: this.proxy.url };
    return spawnApp(t, 'aggregator', env, { readyMs: 60_000 }); // all lanes start at once
  }

  /** One record: closes the windows of the hour before at every level, and changes rows of the one before that. */
  async send(): Promise<void> {
    const start = (this.#hour + this.#round) * HOUR;
    const lines: string[] = [];
    const say = (
      device: string,
      metric: string,
      ts: number,
      seq: number,
      value: number,
      counts = true,
    ): void => {
      const prefix = envelopePrefix({ edge: 'edge-1/spool', site: 'here', device, metric, via: 'mqtt' });
      const head = { n: ++this.#n, at: Date.now(), qos: 1 as const, mid: 1 };
      const payload = Buffer.from(JSON.stringify({ ts, seq, value }));
      lines.push(encodeEnvelope(prefix, head, payload).toString('utf8').trimEnd());
      if (counts) this.known.push({ device, metric, ts, seq, value });
    };
    for (const device of DEVICES) {
      const seq = this.#round * 100;
      for (let i = 0; i < 5; i++) say(device, 'a', start + 10_000 + i * 137, seq + i, this.#round + i / 7);
      say(device, 'a', start + 10_000, seq, this.#round, false);
      say(device, 'b', start + 25 * 60_000, seq + 10, -this.#round);
      if (this.#round >= 2) say(device, 'a', start - 2 * HOUR + 10_000 + 50, seq + 20, 0.1);
      if (this.#round >= 5) say(device, 'a', start - 5 * HOUR, seq + 30, 1e9, false);
    }
    this.#round++;
    const headers = { [RECORD_HEADERS.codec]: ENVELOPE_CODEC, [RECORD_HEADERS.count]: String(lines.length) };
    const value = Buffer.from(`${lines.join('\n')}\n`);
    await this.#producer.send(this.#topic, [{ partition: this.#partition, value, headers }]);
    this.#offset++;
  }

  async folded(): Promise<void> {
    await until(
      () =>
        withDatabase(this.space.timescaleUrl, async (client) => {
          const { rows } = await client.query<{ next: string }>(
            'SELECT next_offset AS next FROM partition_offsets WHERE partition = $1',
            [this.#partition],
          );
          return Number(rows[0]?.next) === this.#offset;
        }),
      { deadlineMs: 60_000, what: `offset ${this.#offset} in the windows`, everyMs: 50 },
    );
  }
}

/** What can go wrong in a transaction of these statements. */
function faultsOf(statements: readonly string[]): (StatementFault & { at: number })[] {
  const last = statements.length - 1;
  const within = (at: number): string => (at === 0 ? '' : MOVE);
  return [
    ...statements.map((_, at) => ({ at, when: 'after' as const, within: within(at) })),
    // A COMMIT that never arrives; before any other statement is after the one ahead of it.
    { at: last, when: 'before', within: MOVE },
    ...statements.flatMap((text, at) =>
      text.startsWith('COPY') ? { at, when: 'during' as const, within: MOVE } : [],
    ),
  ];
}

/** The short run kills at the first and last statements and at each third between them; each costs a session. */
function isKilledAt({ at, when }: StatementFault & { at: number }, statements: readonly string[]): boolean {
  if (when === 'during') return false;
  return ROUNDS > 1 || at < 2 || at >= statements.length - 2 || at % 3 === 0;
}

/** The statements of a transaction that writes and changes rows at every level. */
async function fullTransaction(lane: Lane): Promise<readonly string[]> {
  for (let i = 0; i < 8; i++) {
    await lane.send();
    await lane.folded();
  }
  // The first ones are long, too: they make the series and the roll-ups, and change nothing yet.
  const full = lane.proxy.committed
    .filter((statements) => statements.some((text) => text.includes(MOVE)))
    .filter((statements) => statements.some((text) => text.startsWith(`INSERT INTO ${LEVELS[0].table}`)))
    .reduce((most, statements) => (statements.length > most.length ? statements : most), []);
  for (const { table } of LEVELS) {
    const touching = full.filter((text) => text.includes(table));
    assert.ok(
      touching.some((text) => text.startsWith(`COPY ${table}`)),
      `${table} has no added rows`,
    );
    assert.ok(
      touching.some((text) => text.startsWith('INSERT')),
      `${table} has no changed rows`,
    );
  }
  return full;
}

test("cut or killed at every statement of the windows' transaction, the rows are as if nothing had happened", {
  timeout: 600_000 * ROUNDS,
}, async (t) => {
  const lanes = await Promise.all(Array.from({ length: LANES }, () => Lane.open(t)));
  let happened = 0;
  let kills = 0;
  const run = async (lane: Lane, index: number): Promise<void> => {
    const app = await lane.aggregator(t);
    const statements = await fullTransaction(lane);
    if (index === 0) t.diagnostic(`${statements.length} statements in the transaction`);
    const faults = Array.from({ length: ROUNDS }, () => faultsOf(statements)).flat();
    for (const [i, fault] of faults.entries()) {
      if (i % LANES !== index) continue;
      const place = `${fault.when} ${statements[fault.at]?.slice(0, 60)}`;
      // First the connection alone, then with the process that used it.
      for (const killing of [false, true]) {
        if (killing && !isKilledAt(fault, statements)) continue;
        const fired = lane.proxy.arm(fault);
        const dead = fired.then(() => (killing ? app.kill('SIGKILL') : undefined));
        for (let round = 0; ; round++) {
          await lane.send();
          const hit = await Promise.race([fired.then(() => true), lane.folded().then(() => false)]);
          if (hit) break;
          assert.ok(round < 20, `no transaction came to this place: ${place}`);
        }
        await dead;
        if (killing) await app.restart();
        await lane.folded();
        happened++;
        if (killing) kills++;
      }
    }
    // Windows of silent devices are written without a move of the log: their answer is lost, too.
    await lane.send();
    await lane.folded();
    await lane.proxy.arm({ at: 'COMMIT', when: 'after', within: MOVE });
    await auditWindows(lane.space, lane.known, 60_000);
    // Weir's own proof, from the log, roll-ups included: it exits with 1 when a row differs.
    await weir(lane.space.env, 'audit');
  };
  await Promise.all(lanes.map(run));
  t.diagnostic(`${happened} faults, ${kills} of them with the aggregator killed`);
});
