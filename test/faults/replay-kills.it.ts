import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDatabase } from '@weir/connect-timescale';
import { countLetters, listItems, type ReplayTask } from '@weir/dead-letters';
import { createLogger } from '@weir/observe';
import { atEnd, type Isolated, isolated, type SpawnedApp, spawnApp, until } from '@weir/testkit';
import { kafkaTopology } from '@weir/topology';
import { auditArchive, auditWindows } from '../support/audit.ts';
import { type Buried, LetterWriter } from '../support/letters.ts';
import { weir } from '../support/pipeline.ts';
import { listen, Replays } from '../support/replays.ts';
import { kafkaLines, readTopic, type StoredWindow, storedWindows } from '../support/sinks.ts';
import { type StatementFault, StatementProxy } from '../support/statement-proxy.ts';

const log = createLogger({ app: 'test', level: 'error', format: 'json' });
/** All letters in the index; the long run takes 100,000. */
const LETTERS = Number(process.env.WEIR_REPLAY_LETTERS ?? 5_000);
const CHOSEN = 1_234;
const PACED = 2_000;
const PACED_RATE = 200;
const SETTINGS = {
  WEIR_ARCHIVER__OBJECT_AGE: '2s',
  WEIR_AGGREGATOR__IDLE_TIMEOUT: '2s',
  WEIR_AGGREGATOR__ALLOWED_LATENESS: '60s',
  WEIR_KAFKA__SESSION_TIMEOUT: '6s',
  WEIR_DEAD_LETTERS__MAX_LAG: '1000000',
};
const CLAIM = 'SET state = c.state';
const SETTLE = "CASE WHEN s.why IS NULL THEN 'sent'";

/** Every place between a plan and the last bookkeeping at which the worker can die, in the order of a batch. */
const DEATHS = [
  { name: 'while the plan is written', at: 2, when: 'after', within: 'INSERT INTO replay_items' },
  {
    name: 'before the plan is there',
    at: 'COMMIT',
    when: 'before',
    within: "CASE WHEN starts THEN 'running'",
  },
  { name: 'before letters are claimed', at: 'COMMIT', when: 'before', within: CLAIM },
  { name: 'claimed, and nothing sent', at: 'COMMIT', when: 'after', within: CLAIM },
  { name: 'sent, and nothing written', at: 2, when: 'before', within: SETTLE },
  { name: 'sent, and not committed', at: 'COMMIT', when: 'before', within: SETTLE },
  { name: 'committed, and not told', at: 'COMMIT', when: 'after', within: SETTLE },
] as const satisfies readonly (StatementFault & { readonly name: string })[];

/** Times of the records that a replay sent, by the letter, in the order of the log. */
async function replayedRecords(space: Isolated, task: string): Promise<Map<string, number>> {
  const times = new Map<string, number>();
  const { readings } = kafkaTopology(space.namespace);
  await readTopic(space, readings.name, ({ headers, timestamp }) => {
    const id = headers['x-dlq-id'];
    if (headers['x-dlq-replay-task-id'] === task && id !== undefined && !times.has(id))
      times.set(id, timestamp);
  });
  return times;
}

const rows = async (space: Isolated): Promise<string[]> =>
  (await storedWindows(space)).map((row: StoredWindow) => JSON.stringify(row)).sort();

test('letters of twelve reasons on both brokers: the worker killed at every step sends each of them, and each counts once', {
  timeout: 600_000 + LETTERS * 10,
}, async (t) => {
  const own = await isolated(t);
  const space = { ...own, env: { ...own.env, ...SETTINGS } };
  await weir(space.env, 'topology', 'apply');
  const proxy = await StatementProxy.open(t, space.timescaleUrl);
  await Promise.all([spawnApp(t, 'aggregator', space.env), spawnApp(t, 'archiver', space.env)]);
  const worker: SpawnedApp = await spawnApp(t, 'dead-letters', {
    ...space.env,
    WEIR_TIMESCALE__URL: proxy.url,
  });
  const database = openDatabase({ url: space.timescaleUrl, log, poolSize: 2 });
  atEnd(t, () => database.close());
  const replays = new Replays(database);
  const writer = new LetterWriter(t, space);

  const chosen = await writer.bury('plant-7', { payloads: 534, lines: 200, late: 200, messages: 300 });
  const paced = await writer.bury('plant-8', { payloads: PACED, lines: 0, late: 0, messages: 0 });
  const rest = LETTERS - CHOSEN - PACED;
  await writer.bury('plant-9', {
    payloads: Math.ceil(rest * 0.7),
    lines: 0,
    late: 0,
    messages: Math.floor(rest * 0.3),
  });
  await until(async () => (await countLetters(database, {})) >= LETTERS, {
    deadlineMs: 60_000 + LETTERS * 5,
    what: `${LETTERS} letters in the index`,
    everyMs: 250,
  });
  assert.equal(await countLetters(database, {}), LETTERS);
  const reasons = await database.query('test', 'SELECT DISTINCT reason FROM dead_letters WHERE site = $1', [
    'plant-7',
  ]);
  assert.equal(reasons.length, 12);
  const got = await listen(t, space);

  await t.test('the rate is kept', async () => {
    const id = await replays.begin({ site: 'plant-8' }, PACED_RATE);
    const task = await replays.reached(id, 'done');
    assert.equal(task.sent, PACED);
    const times = [...(await replayedRecords(space, id)).values()].sort((a, b) => a - b);
    assert.equal(times.length, PACED);
    const first = times[0] as number;
    const seconds = ((times.at(-1) as number) - first) / 1_000;
    const rate = PACED / seconds;
    // Who was held up may make up for a second of it, by batches of a tenth of a second; nothing comes earlier.
    const ahead = times.map((time, index) => index + 1 - (PACED_RATE * (time - first)) / 1_000);
    const most = Math.max(...ahead);
    t.diagnostic(
      `${rate.toFixed(1)} letters/s with a limit of ${PACED_RATE}, at most ${Math.round(most)} ahead of it`,
    );
    assert.ok(most <= PACED_RATE * 1.2, `${most} letters ahead of the limit`);
    assert.ok(rate >= PACED_RATE / 2, `${rate} letters/s, also on a busy machine`);
  });

  const known = [...chosen.stored, ...chosen.readings, ...paced.readings];
  let task: ReplayTask;
  await t.test('a dry run says what happens, and the worker dies at every step of it', async () => {
    const dies = async (death: StatementFault, after: () => Promise<unknown>): Promise<void> => {
      const fired = proxy.arm(death);
      const ready = after().catch(() => undefined); // it dies before it is ready
      await fired;
      await worker.kill('SIGKILL');
      await ready;
    };
    const [planning, planned, ...sending] = DEATHS;
    let id = '';
    await dies(planning, async () => {
      id = await replays.begin({ site: 'plant-7' }, 400, false);
    });
    await dies(planned, () => worker.restart());
    for (const [index, death] of sending.entries()) {
      await dies(death, async () => {
        const ready = worker.restart();
        if (index === 0) await startAsPlanned(replays, id);
        await ready;
      });
    }
    await worker.restart();
    task = await replays.reached(id, 'done');
    t.diagnostic(`${DEATHS.length} deaths; ${task.resent} letters were sent once more`);
    assert.equal(task.sent, CHOSEN, 'what was said is what was moved');
    assert.ok(task.resent > 0, 'a worker died with letters on their way');
    const left = (await listItems(database, id, { limit: 2_000 })).filter(({ state }) => state !== 'sent');
    assert.deepEqual(left, []);
  });

  await t.test('the sinks have everything, once', async () => {
    await auditWindows(space, known, 60_000);
    await auditArchive(space, await kafkaLines(space), 60_000);
    await weir(space.env, 'audit', '--json'); // ends with 1 when a window differs from what the archive says
    await until(() => new Set(got.map(({ id }) => id)).size >= chosen.messages.size, {
      deadlineMs: 60_000,
      what: 'every message at its consumer',
    });
    assertMessages(chosen, got);
    t.diagnostic(
      `${got.length - new Set(got.map(({ id }) => id)).size} messages of RabbitMQ came twice, with their ids`,
    );
  });

  await t.test('the same selection again changes nothing', async () => {
    const before = await rows(space);
    const messages = got.length;
    const again = await replays.reached(await replays.begin({ site: 'plant-7' }, 1_000), 'done');
    assert.deepEqual(
      [again.plan?.letters, again.plan?.send, again.plan?.skip, again.sent],
      [CHOSEN, 0, CHOSEN, 0],
    );
    assert.deepEqual(await rows(space), before);
    assert.equal(got.length, messages);
  });
});

/** The plan of a dry run is right, nothing is sent; then it may go on. */
async function startAsPlanned(replays: Replays, id: string): Promise<void> {
  const { plan, sent } = await replays.reached(id, 'planned');
  assert.deepEqual([plan?.letters, plan?.send, plan?.samples.length, sent], [CHOSEN, CHOSEN, 5, 0]);
  assert.deepEqual(
    plan?.destinations.map(({ letters }) => letters),
    [CHOSEN - 300, 300],
  );
  await replays.command(id, 'resume');
}

/** The consumer has every message byte for byte; one that came twice has the id of its letter both times. */
function assertMessages({ messages }: Buried, got: readonly { id: string; body: Buffer }[]): void {
  assert.deepEqual(new Set(got.map(({ id }) => id)), new Set(messages.keys()));
  for (const { id, body } of got) assert.ok(body.equals(messages.get(id) as Buffer), id);
}
