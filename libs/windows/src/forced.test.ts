import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeEnvelope, forceLine } from '@weir/reading';
import { LEVELS } from '@weir/topology';
import fc from 'fast-check';
import { alignDown, LEVEL_MS } from './levels.ts';
import { recompute } from './recompute.ts';
import { bits, Harness, line, logs, OPTIONS, T0 } from './testing.ts';
import type { BuriedLine } from './types.ts';
import { type Figures, stddevOf } from './window.ts';

/** Nearly every reading out of order is too late. */
const IMPATIENT = { ...OPTIONS, outOfOrdernessMs: 500, allowedLatenessMs: 0 };

/** The replay of a letter. */
const replayOf = ({ line: text, offset, readings }: BuriedLine): string =>
  forceLine(text, { offset: String(offset), readings: readings ?? [], task: 'test' });

/** Folds all records, with restarts that lose what is not committed. */
function run(records: readonly (readonly string[])[], plan: readonly string[], options = IMPATIENT): Harness {
  const harness = new Harness(records, options);
  let crashes = 0;
  for (let offset = 0, turn = 0; offset < records.length; turn++) {
    harness.apply(offset, 0);
    offset++;
    const step = plan[turn % plan.length];
    if (step === 'commit') harness.commit();
    else if (step === 'commit-crash') {
      harness.commit();
      harness.restart();
    } else if (step === 'crash' && crashes++ < 10) {
      harness.restart();
      offset = Number(harness.position.nextOffset);
    }
  }
  harness.commit();
  harness.commit(1e9); // everybody idle: open windows are written
  return harness;
}

const plans = fc.array(fc.constantFrom('go', 'commit', 'commit-crash', 'crash'), {
  minLength: 1,
  maxLength: 20,
});
const single = (lines: readonly string[]): string[][] => lines.map((one) => [one]);
const lateLetters = (lines: readonly string[]): BuriedLine[] =>
  run(single(lines), ['commit']).letters.filter(({ reason }) => reason === 'late');
const EVER = { ...IMPATIENT, allowedLatenessMs: Number.POSITIVE_INFINITY };

test('late letters replayed in the order of the log give the rows of a fold without lateness, bit for bit', () => {
  let seen = 0;
  fc.assert(
    fc.property(logs, plans, fc.integer({ min: 1, max: 3 }), (lines, plan, times) => {
      const letters = lateLetters(lines);
      const replays = letters.map(replayOf);
      seen += letters.length;
      const harness = run(single([...lines, ...Array(times).fill(replays).flat()]), plan);
      const plain = recompute(lines, EVER);
      assert.equal(plain.late, 0);
      assert.deepEqual([...harness.rows.keys()].sort(), [...plain.windows.keys()].sort());
      const patient = new Harness(single(lines), EVER);
      for (let offset = 0; offset < lines.length; offset++) patient.apply(offset);
      patient.commit();
      patient.commit(1e9);
      for (const [key, row] of patient.rows) assert.equal(bits(harness.rows.get(key)!), bits(row), key);
      for (const [key, want] of plain.windows) {
        const row = harness.rows.get(key)!;
        for (const field of ['count', 'sum', 'min', 'max', 'first', 'firstTs', 'last', 'lastTs'] as const)
          assert.ok(row[field] === want[field], `${key} ${field}: ${row[field]} instead of ${want[field]}`);
      }
    }),
    { numRuns: 500 },
  );
  assert.ok(seen > 50, `${seen} late letters`);
});

test('in any order, several times, between live lines and across restarts the figures are those without lateness', () => {
  fc.assert(
    fc.property(
      logs,
      plans,
      fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 40 }),
      (lines, plan, picks) => {
        const letters = lateLetters(lines);
        const replays = letters.map(replayOf);
        // Each at least once at the end, in reverse; and picked ones anywhere behind the line that they were buried from.
        const log = [...lines];
        if (letters.length > 0) {
          for (const [which, where] of picks) {
            const letter = letters[which % letters.length] as BuriedLine;
            const earliest = log.indexOf(letter.line) + 1;
            log.splice(earliest + (where % (log.length - earliest + 1)), 0, replayOf(letter));
          }
        }
        const harness = run(single([...log, ...replays.toReversed()]), plan);
        const plain = recompute(lines, EVER);
        assert.deepEqual([...harness.rows.keys()].sort(), [...plain.windows.keys()].sort());
        const patient = new Harness(single(lines), EVER);
        for (let offset = 0; offset < lines.length; offset++) patient.apply(offset);
        patient.commit();
        patient.commit(1e9);
        for (const [key, want] of plain.windows) {
          const row = harness.rows.get(key)!;
          for (const field of ['count', 'min', 'max', 'firstTs', 'lastTs'] as const)
            assert.ok(row[field] === want[field], `${key} ${field}: ${row[field]} instead of ${want[field]}`);
          const sketch = (of: Harness) => of.rows.get(key)?.sketch?.encode().toString('hex');
          assert.equal(sketch(harness), sketch(patient), `${key} sketch`);
          // Readings of one moment stand in the order in which they were counted.
          assert.ok(want.sorted.includes(row.first) && want.sorted.includes(row.last), `${key} first, last`);
          const scale = want.sorted.reduce((sum, value) => sum + Math.abs(value), 0);
          assert.ok(Math.abs(row.sum - want.sum) <= 1e-12 * scale, `${key} sum`);
          if (want.stddev === null) continue;
          const extent = Math.max(Math.abs(want.min), Math.abs(want.max), 1e-140);
          assert.ok(Math.abs(stddevOf(row) - want.stddev) <= 1e-6 * extent, `${key} stddev`);
        }
        const late = letters.reduce((sum, { readings }) => sum + (readings?.length ?? 0), 0);
        assert.equal(harness.forced.size, late);
      },
    ),
    { numRuns: 300 },
  );
});

/** Payloads that an edge refused and somebody repaired: lines that the log never held. */
const repaired = fc
  .array(
    fc.record({
      device: fc.integer({ min: 0, max: 4 }),
      back: fc.integer({ min: -100_000, max: 100_000 }),
      numbered: fc.boolean(),
      value: fc.double({ min: -1e6, max: 1e6, noNaN: true }),
    }),
    { minLength: 1, maxLength: 10 },
  )
  .map((all) =>
    all.map(({ device, back, numbered, value }, i) => {
      const step = { device, ts: T0 - back, seq: numbered ? 1e6 + i : null, value, at: T0, dup: false };
      return line({ ...step, metrics: ['a', 'b'] }, 1e6 + i);
    }),
  );

test('readings of lines that the log never held count once, as if they had come in time', () => {
  fc.assert(
    fc.property(logs, plans, repaired, fc.integer({ min: 1, max: 3 }), (lines, plan, fresh, times) => {
      const replays = [
        ...lateLetters(lines).map(replayOf),
        ...fresh.map((text) => forceLine(text, { task: 't' })),
      ];
      const harness = run(single([...lines, ...Array(times).fill(replays).flat()]), plan);
      const plain = recompute([...lines, ...fresh], EVER);
      assert.deepEqual([...harness.rows.keys()].sort(), [...plain.windows.keys()].sort());
      for (const [key, want] of plain.windows) {
        const row = harness.rows.get(key)!;
        for (const field of ['count', 'min', 'max', 'firstTs', 'lastTs'] as const)
          assert.ok(row[field] === want[field], `${key} ${field}: ${row[field]} instead of ${want[field]}`);
      }
    }),
    { numRuns: 200 },
  );
});

test('a replayed line that holds no reading is buried, not dropped', () => {
  const bad = forceLine(line({ device: 0, ts: Number.NaN, seq: 1, value: 1, at: T0, dup: false }, 1), {
    task: 't',
  });
  const harness = run([[bad.replace('"ts":null', '"ts":"never"')]], ['commit']);
  assert.deepEqual(
    harness.letters.map(({ reason }) => reason),
    ['schema'],
  );
});

test('wherever a log with replays is cut into commits and restarts, the rows are the same bits', () => {
  fc.assert(
    fc.property(
      logs,
      plans,
      fc.array(fc.nat(), { maxLength: 30 }),
      fc.boolean(),
      (lines, plan, picks, patient) => {
        const letters = lateLetters(lines);
        const log = [...lines];
        if (letters.length > 0) {
          for (const pick of picks)
            log.splice(pick % log.length, 0, replayOf(letters[pick % letters.length] as BuriedLine));
        }
        // With the patient options the replayed readings are not late and meet live ones in their panes.
        const options = patient ? OPTIONS : IMPATIENT;
        const whole = run(single(log), ['go'], options);
        const split = run(single(log), plan, options);
        assert.deepEqual([...split.rows.keys()].sort(), [...whole.rows.keys()].sort());
        for (const [key, row] of whole.rows) assert.equal(bits(split.rows.get(key)!), bits(row), key);
      },
    ),
    { numRuns: 300 },
  );
});

test('what has expired at the finer levels is brought back at those that are left', () => {
  let merged = 0;
  fc.assert(
    fc.property(
      logs,
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), {
        minLength: LEVELS.length,
        maxLength: LEVELS.length,
      }),
      fc.nat(),
      (lines, parts, turn) => {
        const letters = lateLetters(lines);
        if (letters.length === 0) return;
        const first = turn % letters.length;
        const replays = [...letters.slice(first), ...letters.slice(0, first)].map(replayOf);
        const harness = new Harness(single([...lines, ...replays]), IMPATIENT);
        for (let offset = 0; offset < lines.length; offset++) harness.apply(offset);
        harness.commit();
        harness.commit(1e9);
        const starts = [...harness.rows.values()].map(({ start }) => start);
        const first1s = Math.min(...starts.filter((start) => start > T0 - 100_000));
        const extent = Math.max(...starts) + 10_000 - first1s;
        const before = parts
          .toSorted((one, other) => other - one)
          .map((part, level) => alignDown(first1s + part * extent, LEVEL_MS[level] as number));
        harness.expire(before);
        const old = new Map([...harness.rows].map(([key, row]) => [key, row.count]));
        for (let offset = lines.length; offset < harness.log.length; offset++) {
          harness.apply(offset);
          if (offset % 3 === 0) harness.commit();
        }
        harness.commit();
        harness.commit(1e9);

        const patient = new Harness(single(lines), EVER);
        for (let offset = 0; offset < lines.length; offset++) patient.apply(offset);
        patient.commit();
        patient.commit(1e9);
        for (const [key, want] of patient.rows) {
          const row = harness.rows.get(key);
          if (row === undefined) {
            assert.ok(want.start < (before[want.level] as number), `${key} is missing`);
            continue;
          }
          if (want.start < (before[want.level] as number)) continue;
          const childless = before[want.level - 1] ?? Number.NEGATIVE_INFINITY;
          if (want.start < childless && old.get(key) !== row.count) merged++;
          for (const field of ['count', 'min', 'max', 'firstTs', 'lastTs'] as const)
            assert.ok(row[field] === want[field], `${key} ${field}: ${row[field]} instead of ${want[field]}`);
          const sketch = (of: Figures) => of.sketch?.encode().toString('hex');
          assert.equal(sketch(row), sketch(want), `${key} sketch`);
          const scale = want.count * Math.max(Math.abs(want.min), Math.abs(want.max), 1e-140);
          assert.ok(Math.abs(row.sum - want.sum) <= 1e-12 * scale, `${key} sum`);
          if (want.count > 1)
            assert.ok(Math.abs(stddevOf(row) - stddevOf(want)) <= 1e-6 * scale, `${key} stddev`);
        }
        for (const key of harness.rows.keys()) assert.ok(patient.rows.has(key), `${key} should not exist`);
      },
    ),
    { numRuns: 500 },
  );
  assert.ok(merged > 50, `${merged} rows whose children were gone`);
});

test('live readings that follow a replayed one in its pane stay behind it', () => {
  const events = fc.array(
    fc.record({
      replayed: fc.boolean(),
      ts: fc.integer({ min: T0, max: T0 + 2_000 }),
      value: fc.double({ min: -1e6, max: 1e6, noNaN: true }),
    }),
    { minLength: 3, maxLength: 20 },
  );
  fc.assert(
    fc.property(events, plans, (list, plan) => {
      const log = list.map(({ replayed, ts, value }, n) => {
        const text = line(step(ts, n, value), n);
        return replayed ? forced(text) : text;
      });
      const whole = run(single(log), ['go'], OPTIONS);
      const split = run(single(log), plan, OPTIONS);
      assert.equal(split.rows.size, whole.rows.size);
      for (const [key, row] of whole.rows) assert.equal(bits(split.rows.get(key)!), bits(row), key);
    }),
    { numRuns: 200 },
  );
});

const step = (ts: number, seq: number | null, value: number) => ({
  device: 0,
  ts,
  seq,
  value,
  at: T0,
  dup: false,
});
const forced = (text: string, readings: readonly number[] = [0]): string =>
  forceLine(text, { offset: '0', readings, task: 'test' });

test('only the listed readings count, and nothing of the transport does', () => {
  const now = line(step(T0 + 1_000_000, 1, 1), 5);
  const late = line(step(T0, 2, 7), 6);
  const both = line(step(T0 + 1_000_500, 3, 3), 7);
  // n 6 again, below the 7 that was folded; then the next live line of the edge.
  const harness = run(
    single([now, late, both, forced(late), forced(late, []), line(step(T0 + 1_001_000, 4, 4), 8)]),
    ['commit'],
    OPTIONS,
  );
  const { stored, late: buried, replayed, replayedAgain, duplicate } = harness.counts;
  assert.deepEqual([stored, buried, replayed, replayedAgain, duplicate], [3, 1, 1, 0, 0]);
});

test('two equal readings without a number both count; one replayed twice counts once', () => {
  const head = line(step(T0 + 1_000_000, 1, 1), 1);
  const twins = [2, 3].map((n) => line(step(T0, null, 7), n));
  const harness = run(single([head, ...twins, ...twins.map((one) => forced(one)), forced(twins[0]!)]), [
    'go',
  ]);
  assert.deepEqual([harness.counts.replayed, harness.counts.replayedAgain], [2, 1]);
  assert.equal(harness.rows.get(`here/d0/value/1s/${T0}`)?.count, 2);
});

test('a device that repeats a reading after its horizon does not make it count twice', () => {
  const head = line(step(T0 + 1_000_000, 1, 1), 1);
  const late = line(step(T0, 2, 7), 2);
  const repeated = line({ ...step(T0, 2, 7), at: T0 + 2 * OPTIONS.dedupHorizonMs }, 3);
  const harness = run(single([head, late, repeated, forced(late), forced(repeated)]), ['commit']);
  assert.deepEqual([harness.counts.late, harness.counts.replayed, harness.counts.replayedAgain], [2, 1, 1]);
});

test('a replay does not move what a device may still repeat', () => {
  const live = line(step(T0 + 1_000_000, 1, 1), 1);
  const late = Array.from({ length: OPTIONS.dedupCount }, (_, i) => line(step(T0 + i, 10 + i, i), 2 + i));
  const again = line(step(T0 + 1_000_000, 1, 1), 1_000);
  const before = run(single([live, ...late.slice(1), again]), ['commit']);
  assert.equal(before.counts.duplicate, 1);
  const after = run(single([live, ...late.slice(1), ...late.slice(1).map((one) => forced(one)), again]), [
    'commit',
  ]);
  assert.equal(after.counts.duplicate, 1, 'the ring of arrivals holds what it held');
});

test('a line that says forced without sense is buried', () => {
  const good = line(step(T0, 1, 1), 1);
  const bad = [
    'null',
    '{}',
    '{"offset":"5","readings":[0]}',
    '{"offset":5,"readings":[0],"task":"t"}',
    '{"offset":"5","readings":[-1],"task":"t"}',
    '{"offset":"x","readings":[],"task":"t"}',
  ];
  const harness = run(
    bad.map((text) => [`{"forced":${text},${good.slice(1)}`]),
    ['commit'],
  );
  assert.deepEqual(
    harness.letters.map(({ reason }) => reason),
    bad.map(() => 'decode'),
  );
  assert.equal(harness.rows.size, 0);
});

test('a fold that buried nothing can tell', () => {
  const late = line(step(T0, 2, 7), 2);
  const harness = new Harness([[line(step(T0 + 1_000_000, 1, 1), 1), late]]);
  harness.state.rememberLate();
  harness.apply(0);
  assert.equal(harness.state.takeLate().size, 1);
  assert.equal(harness.state.takeLate().size, 0);
  assert.equal(decodeEnvelope(forced(late)).forced?.offset, '0');
});
