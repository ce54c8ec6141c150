import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LEVEL_COUNT, LEVEL_MS } from './levels.ts';
import { exactQuantile, recompute } from './recompute.ts';
import { bits, Harness, jumpyLogs, line, logs, OPTIONS, type Step, T0 } from './testing.ts';
import { type Figures, quantileOf, stddevOf } from './window.ts';

const cutInto = (lines: readonly string[], sizes: readonly number[]): string[][] => {
  const records: string[][] = [];
  let at = 0;
  for (let i = 0; at < lines.length; i++) {
    const size = sizes[i % sizes.length] as number;
    records.push(lines.slice(at, at + size));
    at += size;
  }
  return records;
};

test('any split into records, commits, idle times and restarts gives the same rows, bit for bit', () => {
  fc.assert(
    fc.property(
      fc.oneof(logs, jumpyLogs),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }),
      fc.array(fc.constantFrom('go', 'go', 'commit', 'commit', 'idle', 'crash', 'commit-crash'), {
        minLength: 1,
        maxLength: 30,
      }),
      (lines, sizes, plan) => {
        const records = cutInto(lines, sizes);
        const whole = new Harness(records);
        for (let offset = 0; offset < records.length; offset++) whole.apply(offset);
        whole.commit();
        whole.commit(1e9); // everybody idle: open windows are written

        const split = new Harness(records);
        let turn = 0;
        let crashes = 0;
        for (let offset = 0; offset < records.length; ) {
          split.apply(offset, 0);
          offset++;
          const what = plan[turn++ % plan.length];
          if (what === 'commit') split.commit(0);
          else if (what === 'idle') split.commit(1e9);
          else if (what === 'commit-crash') {
            split.commit(0);
            split.restart();
          } else if (what === 'crash' && crashes++ < 20) {
            split.restart();
            offset = Number(split.position.nextOffset);
            plan = plan.map((step) => (step === 'crash' ? 'commit' : step));
          }
        }
        split.commit();
        split.commit(1e9);
        assert.deepEqual([...split.rows.keys()].sort(), [...whole.rows.keys()].sort());
        for (const [key, row] of whole.rows) assert.equal(bits(split.rows.get(key)!), bits(row), key);
      },
    ),
    { numRuns: 400 },
  );
});

test('a restart behind any commit, with silence before or after it, changes no row', () => {
  fc.assert(
    fc.property(jumpyLogs, fc.boolean(), (lines, silent) => {
      const records = cutInto(lines, [3]);
      const run = (restartAt: number): Harness => {
        const harness = new Harness(records);
        for (let offset = 0; offset < records.length; offset++) {
          harness.apply(offset);
          // Commits at the same places in every run: the counts of duplicates and late readings must be equal too.
          if (offset % 2 === 1) harness.commit();
          if (offset !== restartAt) continue;
          harness.commit(silent ? 1e9 : 0);
          harness.restart();
        }
        harness.commit();
        harness.commit(1e9);
        return harness;
      };
      const whole = run(-1);
      for (let restartAt = 0; restartAt < records.length; restartAt++) {
        const restarted = run(restartAt);
        assert.deepEqual(restarted.counts.stored, whole.counts.stored);
        assert.deepEqual(restarted.counts.duplicate, whole.counts.duplicate);
        assert.deepEqual(restarted.counts.late, whole.counts.late);
        assert.deepEqual([...restarted.rows.keys()].sort(), [...whole.rows.keys()].sort());
        for (const [key, row] of whole.rows) assert.equal(bits(restarted.rows.get(key)!), bits(row), key);
      }
    }),
    { numRuns: 60 },
  );
});

test('an out-of-orderness that keeps many panes open changes no figure', () => {
  const patient = { ...OPTIONS, outOfOrdernessMs: 45_000 };
  fc.assert(
    fc.property(logs, (lines) => {
      const harness = new Harness(
        lines.map((one) => [one]),
        patient,
      );
      let crash = 36;
      for (let offset = 0; offset < lines.length; offset++) {
        harness.apply(offset);
        if (offset % 11 === 10) harness.commit(offset % 3 === 0 ? 1e9 : 0);
        if (offset !== crash) continue;
        harness.restart();
        offset = Number(harness.position.nextOffset) - 1;
        crash += 37;
      }
      harness.commit();
      harness.commit(1e9);
      const plain = recompute(lines, patient);
      assert.deepEqual([...harness.rows.keys()].sort(), [...plain.windows.keys()].sort());
      for (const [key, want] of plain.windows) {
        const row = harness.rows.get(key)!;
        for (const field of ['count', 'sum', 'min', 'max', 'first', 'firstTs', 'last', 'lastTs'] as const)
          assert.ok(row[field] === want[field], `${key} ${field}: ${row[field]} instead of ${want[field]}`);
      }
    }),
    { numRuns: 100 },
  );
});

test('a fleet that falls silent at once is handed out in parts', () => {
  const lines = Array.from({ length: 3_000 }, (_, device) =>
    line({ device, ts: T0, seq: 1, value: device, at: T0, dup: false }, device),
  );
  const harness = new Harness([lines]);
  harness.apply(0);
  harness.commit();
  assert.equal(harness.rows.size, 3_000);
  harness.commit(1e9);
  assert.equal(harness.rows.size, 3_000 + 2_000 * (LEVEL_COUNT - 1));
  assert.equal(harness.state.hasWork(1e9, 1n), true);
  harness.commit(1e9);
  assert.equal(harness.rows.size, 3_000 * LEVEL_COUNT);
  assert.equal(harness.state.hasWork(1e9, 1n), false);
});

test('rows and counts equal the plain recomputation', () => {
  fc.assert(
    fc.property(logs, (lines) => {
      const harness = new Harness(lines.map((one) => [one]));
      for (let offset = 0; offset < lines.length; offset++) {
        harness.apply(offset);
        if (offset % 7 === 6) harness.commit();
      }
      harness.commit();
      harness.commit(1e9);
      const plain = recompute(lines, OPTIONS);
      assert.deepEqual(
        [harness.counts.stored, harness.counts.duplicate, harness.counts.late],
        [plain.stored, plain.duplicates, plain.late],
      );
      assert.deepEqual([...harness.rows.keys()].sort(), [...plain.windows.keys()].sort());
      for (const [key, want] of plain.windows) {
        const row = harness.rows.get(key)!;
        for (const field of ['count', 'sum', 'min', 'max', 'first', 'firstTs', 'last', 'lastTs'] as const)
          assert.ok(row[field] === want[field], `${key} ${field}: ${row[field]} instead of ${want[field]}`);
        if (want.stddev !== null) {
          const scale = Math.max(Math.abs(want.min), Math.abs(want.max), 1e-140);
          assert.ok(Math.abs(stddevOf(row) - want.stddev) <= 1e-6 * scale, `${key} stddev`);
        }
        if (row.level === 0) continue;
        for (const q of [0.5, 0.9, 0.99]) {
          const exact = exactQuantile(want.sorted, q);
          const bound = Math.max(
            0.0100001 * Math.abs(exact),
            1e-35 * Math.max(-want.min, want.max),
            2 ** -1022,
          );
          assert.ok(Math.abs(quantileOf(row, q) - exact) <= bound, `${key} q${q}`);
        }
      }
    }),
    { numRuns: 400 },
  );
});

test('the order of arrival within the bounds changes no count, extreme or sketch', () => {
  const steps = fc.uniqueArray(
    fc.record({
      ts: fc.integer({ min: T0, max: T0 + 50_000 }),
      value: fc.double({ min: -100, max: 100, noNaN: true }),
    }),
    { minLength: 1, maxLength: 60, selector: (step) => step.ts },
  );
  fc.assert(
    fc.property(
      steps.chain((list) =>
        fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
      ),
      ([ordered, shuffled]) => {
        const run = (list: readonly { ts: number; value: number }[]): Harness => {
          const lines = list.map((step, n) =>
            line({ device: 0, ts: step.ts, seq: step.ts, value: step.value, at: T0, dup: false }, n),
          );
          const harness = new Harness(lines.map((one) => [one]));
          lines.forEach((_, offset) => {
            harness.apply(offset);
            if (offset % 5 === 0) harness.commit();
          });
          harness.commit();
          harness.commit(1e9);
          return harness;
        };
        const a = run(ordered);
        const b = run(shuffled);
        assert.equal(a.counts.late + b.counts.late, 0);
        assert.equal(a.rows.size, b.rows.size);
        for (const [key, row] of a.rows) {
          const other = b.rows.get(key)!;
          const order = (w: Figures) => [
            w.count,
            w.min,
            w.max,
            w.first,
            w.last,
            w.sketch?.encode().toString('hex'),
          ];
          assert.deepEqual(order(other), order(row), key);
        }
      },
    ),
    { numRuns: 100 },
  );
});

test('a packet sent again with the DUP flag counts once; the same payload without it counts twice', () => {
  const step = { device: 0, ts: T0, seq: null, value: 7, at: T0, dup: false };
  const harness = new Harness([
    [line(step, 1), line({ ...step, dup: true, mid: 2 }, 2), line({ ...step, at: T0 + 5, mid: 2 }, 3)],
  ]);
  harness.apply(0);
  harness.commit();
  assert.deepEqual([harness.counts.stored, harness.counts.duplicate], [2, 1]);
});

test('the duplicate horizon ends after its arrival time and after its count', () => {
  const base = { device: 0, ts: T0, seq: 1, value: 7, at: T0, dup: false };
  const near = new Harness([[line(base, 1), line({ ...base, at: T0 + OPTIONS.dedupHorizonMs }, 2)]]);
  near.apply(0);
  near.commit();
  assert.equal(near.counts.duplicate, 1);
  const far = new Harness([[line(base, 1), line({ ...base, at: T0 + OPTIONS.dedupHorizonMs + 1_000 }, 2)]]);
  far.apply(0);
  far.commit();
  assert.equal(far.counts.duplicate, 0);
  const many = Array.from({ length: OPTIONS.dedupCount }, (_, i) => line({ ...base, seq: i + 2 }, i + 2));
  const full = new Harness([[line(base, 1), ...many, line(base, 1_000)]]);
  full.apply(0);
  full.commit();
  assert.equal(full.counts.duplicate, 0);
});

test('lines that cannot be read are buried and the next ones are folded', () => {
  const good = line({ device: 0, ts: T0, seq: 1, value: 7, at: T0, dup: false }, 1);
  const bad = [
    'no json',
    '{"v":2}',
    '{"v":1,"edge":"e","n":1,"site":"s","device":"a\\u0000b","at":1,"via":"mqtt","payload":1}',
    good.replace('"value":7', '"value":"seven"'),
  ];
  const harness = new Harness([[...bad.slice(0, 3), bad[3]!.replace('"n":1', '"n":0'), good]]);
  harness.apply(0);
  const buried = harness.state.takeBuried();
  assert.deepEqual(
    buried.map((letter) => [letter.reason, letter.index]),
    [
      ['decode', 0],
      ['decode', 1],
      ['decode', 2],
      ['schema', 3],
    ],
  );
  harness.commit();
  assert.deepEqual([harness.counts.stored, harness.counts.undecodable], [1, 4]);
});

test('every kind of line that is not an envelope is buried; a bug is not', () => {
  const edges = ['\\u0000', '\\ud800'].map(
    (edge) => `{"v":1,"edge":"${edge}","site":"s","device":"d","n":1,"at":1}`,
  );
  const lines = ['', 'null', '5', '[]', '""', '{}', '{"v":1}', '{"v":1,"edge":1}', '{', ...edges];
  const harness = new Harness([lines]);
  harness.apply(0);
  assert.equal(harness.state.takeBuried().length, lines.length);
  assert.throws(() => new Harness([]).state.apply(0n, { length: 1 } as Buffer, 0), TypeError);
});

test('the replay offset moves on with the arrival clock', () => {
  const step = (i: number): Step => ({
    device: 0,
    ts: T0 + i * 1_000,
    seq: i,
    value: i,
    at: T0 + i * 1_000,
    dup: false,
  });
  const log = Array.from({ length: 1_000 }, (_, i) => [line(step(i), i)]);
  const harness = new Harness(log);
  for (let offset = 0; offset < log.length; offset++) {
    harness.apply(offset);
    if (offset % 10 === 9) harness.commit();
  }
  const behind = Number(harness.position.nextOffset - harness.position.replayOffset);
  assert.ok(behind >= 120 && behind <= 125, `${behind} records`);
  assert.equal(LEVEL_MS.length, LEVEL_COUNT);
});
