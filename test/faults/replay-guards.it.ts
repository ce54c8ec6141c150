import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDatabase } from '@weir/connect-timescale';
import { countLetters, listTasks } from '@weir/dead-letters';
import { createLogger } from '@weir/observe';
import { atEnd, isolated, spawnApp, until } from '@weir/testkit';
import { LetterWriter } from '../support/letters.ts';
import { weir } from '../support/pipeline.ts';
import { listen, Replays } from '../support/replays.ts';

const log = createLogger({ app: 'test', level: 'error', format: 'json' });
const NONE = { payloads: 0, lines: 0, late: 0, messages: 0 };
const HEALTHY_MS = 6_000;
const RATE = 50;

test('replays that nobody asks for wait until their consumer is well, and keep their rate; one whose letters come back pauses', {
  timeout: 600_000,
}, async (t) => {
  const own = await isolated(t);
  const config = join(own.folder, 'weir.yaml');
  writeFileSync(
    config,
    JSON.stringify({
      alerter: { rules: [{ id: 'any', metric: 'value', above: 1e9 }] },
      deadLetters: {
        policies: [{ reason: 'sink-unavailable', healthyFor: `${HEALTHY_MS}ms`, rate: RATE }],
      },
    }),
  );
  const space = { ...own, env: { ...own.env, WEIR_CONFIG: config } };
  await weir(space.env, 'topology', 'apply');
  await spawnApp(t, 'dead-letters', space.env);
  const database = openDatabase({ url: space.timescaleUrl, log, poolSize: 2 });
  atEnd(t, () => database.close());
  const replays = new Replays(database);
  const writer = new LetterWriter(t, space);
  const indexed = (count: number): Promise<unknown> =>
    until(async () => (await countLetters(database, {})) === count, {
      deadlineMs: 60_000,
      what: `${count} letters in the index`,
    });
  const tasks = () => listTasks(database, { limit: 10 });

  await t.test('a policy', async (part) => {
    const { messages } = await writer.bury('plant-1', {
      ...{ ...NONE, messages: 150, reason: 'sink-unavailable' },
    });
    await writer.bury('plant-2', { ...NONE, messages: 30, reason: 'timeout' });
    await indexed(180);
    // Nobody reads the queue: however long that lasts, it is not well.
    assert.deepEqual(await tasks(), []);
    const got = await listen(part, space);
    const begun = performance.now();
    await until(() => got.length > 0, { deadlineMs: 60_000, what: 'the first letter', everyMs: 20 });
    const first = performance.now();
    assert.ok(first - begun >= HEALTHY_MS - 500, `the first letter after ${Math.round(first - begun)} ms`);
    await until(() => got.length >= messages.size, { deadlineMs: 60_000, what: 'every letter', everyMs: 20 });
    const took = performance.now() - first;
    const [task, ...others] = await tasks();
    assert.ok(task !== undefined && others.length === 0);
    await replays.reached(task.id, 'done');
    assert.deepEqual([task.by, task.rate], ['policy sink-unavailable', RATE]);
    assert.match(task.why, /^weir\.alerter\.telemetry has been well for \d+ s$/);
    assert.deepEqual(new Set(got.map(({ id }) => id)), new Set(messages.keys()));
    assert.equal(got.length, messages.size, 'each of them once, and none of another reason');
    for (const { id, body } of got) assert.deepEqual(body, messages.get(id));
    // Who was held up may make up for a second of it; without a rate they would all be here at once.
    assert.ok(took >= (messages.size / RATE - 1) * 600, `${messages.size} letters in ${Math.round(took)} ms`);
  });

  await t.test('letters that come back', async (part) => {
    // The alerter cannot read them, and buries them again.
    await spawnApp(part, 'alerter', space.env);
    await writer.bury('plant-3', { ...NONE, messages: 120, reason: 'poison' });
    await indexed(300);
    const id = await replays.begin({ site: 'plant-3' }, 5);
    const paused = await replays.reached(id, 'paused');
    assert.equal(paused.pauseCause, 'returns');
    assert.match(paused.stateWhy, /^\d+ of its letters came back as dead letters; look at them, then resume/);
    assert.ok(paused.sent > 0 && paused.sent < 120, `${paused.sent} of 120 were sent`);
    // Whoever resumes it has seen those that were back by then; the next ones pause it again.
    const again = await until(
      async () => {
        const task = await replays.find(id);
        if (task.state !== 'paused') return false;
        if (task.sent > paused.sent) return task;
        await replays.command(id, 'resume');
        return false;
      },
      { deadlineMs: 60_000, what: 'it to pause again' },
    );
    assert.equal(again.pauseCause, 'returns');
    await replays.command(id, 'cancel');
    await replays.reached(id, 'cancelled');
  });
});
