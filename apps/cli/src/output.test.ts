import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { bytes, colored, Output, seconds, table } from './output.ts';
import { Progress } from './progress.ts';

function terminal(tty: boolean, env: NodeJS.ProcessEnv = {}) {
  const out = Object.assign(new PassThrough(), { isTTY: tty });
  const err = Object.assign(new PassThrough(), { isTTY: tty });
  return { out, err, env };
}

test('a table is as wide as its cells, with numbers to the right', () => {
  const text = table(
    [
      { title: 'NAME', value: (row: { name: string; n: number | null }) => row.name },
      { title: 'N', value: (row) => row.n, align: 'right' },
    ],
    [
      { name: 'a', n: 5 },
      { name: 'longer', n: 1234 },
      { name: 'none', n: null },
    ],
  );
  assert.equal(text, 'NAME       N\na          5\nlonger  1234\nnone       –');
  assert.equal(table([], [], 'empty'), 'empty');
});

test('colour only on a terminal, and never with NO_COLOR', () => {
  assert.equal(colored({ isTTY: true }, {}), true);
  assert.equal(colored({}, {}), false);
  assert.equal(colored({ isTTY: true }, { NO_COLOR: '1' }), false);
  assert.equal(new Output(terminal(false)).style('red', 'x'), 'x');
  assert.equal(new Output(terminal(true)).style('red', 'x'), '\u001b[31mx\u001b[39m');
});

test('sizes and durations are readable', () => {
  assert.deepEqual([0, 1023, 1024, 5 * 2 ** 30].map(bytes), ['0 B', '1023 B', '1.0 KiB', '5.0 GiB']);
  assert.deepEqual([120, 59_900, 61_000].map(seconds), ['0.1 s', '59.9 s', '1 m 1 s']);
});

test('JSON keeps offsets exact', () => {
  const streams = terminal(false);
  new Output(streams, true).result({ offset: 2n ** 60n }, () => 'unused');
  assert.deepEqual(JSON.parse(String(streams.out.read())), { offset: '1152921504606846976' });
});

test('without a terminal progress is plain lines; on one it is a line that moves', async () => {
  const plain = terminal(false);
  const first = new Progress(plain);
  await first.step('Working', async () => {});
  await assert.rejects(
    first.step('Failing', async () => {
      throw new Error('no');
    }),
  );
  first.close();
  assert.match(
    String(plain.err.read()),
    /^Working …\nWorking: done \(0\.0 s\)\nFailing …\nFailing: failed \(0\.0 s\)\n$/,
  );

  const live = terminal(true, { NO_COLOR: '1' });
  const second = new Progress(live);
  second.begin('k', 'Working');
  second.detail('k', 'part 3 of 7');
  let seen = '';
  live.err.on('data', (chunk) => {
    seen += chunk;
  });
  for (const end = Date.now() + 5_000; !seen.includes('part 3 of 7') && Date.now() < end; ) await delay(10);
  second.done('k');
  second.close();
  await delay(0);
  assert.ok(seen.includes('\r\u001b[2K'), 'the line is drawn over');
  assert.match(seen, /Working .*part 3 of 7/);
  assert.match(seen, /✔ Working/);
});
