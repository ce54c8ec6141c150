import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDatabase } from '@weir/connect-timescale';
import { countLetters } from '@weir/dead-letters';
import { createLogger } from '@weir/observe';
import { atEnd, isolated, spawnApp, until } from '@weir/testkit';
import { LetterWriter } from '../support/letters.ts';
import { weir } from '../support/pipeline.ts';
import { listen, Replays } from '../support/replays.ts';
import { kafkaLines } from '../support/sinks.ts';

const log = createLogger({ app: 'test', level: 'error', format: 'json' });
const MAX_LAG = 8;

test('a replay pauses, goes on and ends as it is told, keeps the order of a device, and waits for a slow consumer', {
  timeout: 600_000,
}, async (t) => {
  const own = await isolated(t);
  const space = { ...own, env: { ...own.env, WEIR_DEAD_LETTERS__MAX_LAG: String(MAX_LAG) } };
  await weir(space.env, 'topology', 'apply');
  const app = await spawnApp(t, 'dead-letters', space.env);
  const database = openDatabase({ url: space.timescaleUrl, log, poolSize: 2 });
  atEnd(t, () => database.close());
  const replays = new Replays(database);
  const writer = new LetterWriter(t, space);
  const { readings } = await writer.bury('plant-1', { payloads: 240, lines: 0, late: 0, messages: 0 }, 3);
  const { messages } = await writer.bury('plant-2', { payloads: 0, lines: 0, late: 0, messages: 120 });
  await until(async () => (await countLetters(database, {})) === 360, {
    deadlineMs: 60_000,
    what: 'the letters in the index',
  });

  await t.test('paused, resumed, stopped and started, it sends every letter once and in order', async () => {
    const id = await replays.begin({ site: 'plant-1' }, 60);
    await until(async () => (await replays.find(id)).sent > 0, {
      deadlineMs: 30_000,
      what: 'the first letters',
    });
    await replays.command(id, 'pause');
    const { sent, pauseCause } = await replays.reached(id, 'paused');
    assert.ok(sent < readings.length);
    assert.equal(pauseCause, 'person');
    await app.stop();
    await app.restart();
    // Letters that were claimed when it was paused have been settled; nobody else has touched the task since.
    const waiting = await replays.find(id);
    assert.equal(waiting.state, 'paused');
    await replays.command(id, 'resume');
    const { code } = await app.stop();
    assert.equal(code, 0, 'a stop in the middle of a replay');
    await app.restart();
    const done = await replays.reached(id, 'done');
    assert.deepEqual([done.sent, done.resent], [readings.length, 0]);
    const lines = await kafkaLines(space);
    assert.equal(lines.length, readings.length);
    const byDevice = Map.groupBy(lines, ({ envelope }) => envelope.device);
    for (const [device, own] of byDevice) {
      const seqs = [...new Set(own.map(({ envelope }) => (envelope.payload as { seq: number }).seq))];
      assert.deepEqual(
        seqs,
        seqs.toSorted((a, b) => a - b),
        device,
      );
    }
    await assert.rejects(replays.command(id, 'resume'), /A replay that is done cannot resume: it has ended/);
  });

  await t.test('an edit is what is sent, and the original stays what it was', async () => {
    await writer.bury('plant-3', { payloads: 1, lines: 0, late: 0, messages: 0 });
    const [letter] = await until(
      async () => {
        const rows = await database.query<{ id: string; sha256: string }>(
          'test',
          "SELECT id, encode(sha256, 'hex') AS sha256 FROM dead_letters WHERE site = 'plant-3'",
        );
        return rows.length > 0 && rows;
      },
      { deadlineMs: 30_000, what: 'the letter in the index' },
    );
    const edited = '{"value": 4.20}';
    await database.query(
      'test',
      `INSERT INTO dead_letter_edits (letter, number, by, why, patch, difference, bytes)
       VALUES ($1, 1, 'anna', 'a test', '[]', '[]', $2)`,
      [letter?.id, Buffer.from(edited)],
    );
    await replays.reached(await replays.begin({ site: 'plant-3' }, 10), 'done');
    const sent = (await kafkaLines(space)).filter(({ envelope }) => envelope.site === 'plant-3');
    assert.deepEqual(
      sent.map(({ payload }) => payload),
      [edited],
    );
    const [after] = await database.query(
      'test',
      "SELECT encode(sha256, 'hex') AS sha256, status, replay_count FROM dead_letters WHERE id = $1",
      [letter?.id],
    );
    assert.deepEqual(after, { sha256: letter?.sha256, status: 'replayed', replay_count: 1 });
  });

  await t.test('it pauses itself when the consumer falls behind, and goes on by itself', async () => {
    const id = await replays.begin({ site: 'plant-2' }, 5);
    const paused = await replays.reached(id, 'paused');
    assert.equal(paused.pauseCause, 'lag');
    assert.match(
      paused.stateWhy,
      /wait for the consumers of weir.alerter.telemetry, more than deadLetters.maxLag \(8\)/,
    );
    assert.ok(paused.sent > MAX_LAG && paused.sent < messages.size, `${paused.sent} sent`);
    const got = await listen(t, space);
    await until(async () => (await replays.find(id)).state === 'running', {
      deadlineMs: 60_000,
      what: 'it to go on',
    });
    await replays.command(id, 'cancel');
    const { sent } = await replays.reached(id, 'cancelled');
    await until(() => got.length >= sent, { deadlineMs: 30_000, what: 'what was sent' });
    assert.equal(new Set(got.map(({ id: message }) => message)).size, got.length, 'each of them once');
  });
});
