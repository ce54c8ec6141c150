import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { lagOf, lostOf } from './figures.ts';
import { LIMITS } from './limits.fixture.ts';
import { type QueueCounters, type QueuePlace, queuePlace } from './queue.ts';
import { judge, unmeasured } from './rules.ts';
import { RANK, type Settled, settle } from './settle.ts';
import { Trail } from './trail.ts';
import type { Finding, Judged, Measurement } from './types.ts';
import { Watch } from './watch.ts';

const EVERY_MS = 5_000;

/** A log and one group, as they are: what is measured of them can be compared with it. */
class Log {
  start = 0;
  end = 0;
  committed: number | null = null;
  name = 0;
  do(step: Step): void {
    const { end, start } = this;
    switch (step.kind) {
      case 'produce':
        this.end += step.n;
        break;
      case 'consume':
        this.committed = Math.min(end, Math.max(this.committed ?? start, start) + step.n);
        break;
      case 'expire':
        this.start = Math.min(end, start + step.n);
        break;
      case 'rewind':
        if (this.committed !== null) this.committed = Math.max(0, this.committed - step.n);
        break;
      case 'recreate':
        this.start = 0;
        this.end = step.n;
        this.name++;
        break;
    }
  }
  /** Records that the group has not had, counted one by one. */
  waiting(): number | null {
    if (this.committed === null) return null;
    let count = 0;
    for (let offset = this.start; offset < this.end; offset++) if (offset >= this.committed) count++;
    return count;
  }
}
interface Step {
  readonly kind: 'produce' | 'consume' | 'expire' | 'rewind' | 'recreate';
  readonly n: number;
}
const step = (...kinds: Step['kind'][]): fc.Arbitrary<Step> =>
  fc.record({ kind: fc.constantFrom(...kinds), n: fc.integer({ min: 0, max: 40 }) });

test('lag is what waits: never negative, null without a commit, right past retention', () => {
  fc.assert(
    fc.property(fc.array(step('produce', 'consume', 'expire', 'rewind')), (steps) => {
      const log = new Log();
      for (const one of steps) {
        log.do(one);
        assert.equal(lagOf(log), log.waiting());
        assert.equal(lostOf(log), log.committed === null ? 0 : Math.max(0, log.start - log.committed));
      }
    }),
  );
});

test('a commit that is read before the end never makes the group look ahead of its log', () => {
  const moves = fc.array(step('produce', 'consume'), { maxLength: 20 });
  fc.assert(
    fc.property(moves, moves, (before, between) => {
      const log = new Log();
      for (const one of before) log.do(one);
      const { committed } = log;
      const least = log.waiting();
      for (const one of between) log.do(one);
      const lag = lagOf({ committed, start: log.start, end: log.end });
      if (least === null || lag === null) return assert.equal(lag, least);
      assert.ok(lag >= least, `${lag} waits by the numbers, ${least} did when the commit was read`);
    }),
  );
});

test('whatever is measured: figures are never negative, and the same measurements give the same verdicts', () => {
  const measurement = fc.record({
    gap: fc.integer({ min: 1, max: 90_000 }),
    committed: fc.option(fc.nat(200)),
    start: fc.nat(150),
    more: fc.nat(100),
    consumers: fc.option(fc.nat(2)),
    rebalancing: fc.boolean(),
    retentionMs: fc.option(fc.nat(100_000)),
    log: fc.option(fc.constantFrom('a', 'b')),
    nothing: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(measurement, { minLength: 1, maxLength: 40 }), (list) => {
      const [one, other] = [new Watch(LIMITS), new Watch(LIMITS)];
      let at = 1_000_000;
      for (const { gap, more, ...rest } of list) {
        at += gap;
        const now: Measurement = { ...rest, at, end: rest.start + more };
        const judged = one.take(now);
        assert.deepEqual(other.take(now), judged);
        const { lag, timeLagMs, etaMs, inRate, outRate, timeToLossMs, retentionMarginItems } = judged;
        for (const figure of [lag, timeLagMs, etaMs, inRate, outRate, timeToLossMs, retentionMarginItems])
          assert.ok(figure === null || (figure >= 0 && Number.isFinite(figure)), JSON.stringify(judged));
        if (now.committed === null) assert.equal(lag, null);
        if (lag === 0) assert.equal(timeLagMs, 0);
      }
    }),
    { numRuns: 300 },
  );
});

/** Judges a log that steps change between measurements. */
function watchLog(steps: readonly (readonly Step[])[], consumers: (i: number) => number, log = new Log()) {
  const watch = new Watch(LIMITS);
  return steps.map((list, i): Judged => {
    for (const one of list) log.do(one);
    const { committed, start, end, name } = log;
    return watch.take({
      at: i * EVERY_MS,
      committed,
      start,
      end,
      log: String(name),
      consumers: consumers(i),
    });
  });
}

test('a group that has read everything at each measurement is OK, whoever is there', () => {
  const all = { kind: 'consume', n: 1_000 } as const;
  fc.assert(
    fc.property(
      fc.array(fc.array(step('produce'), { maxLength: 3 }), { minLength: 1, maxLength: 40 }),
      fc.boolean(),
      (rounds, present) => {
        const judged = watchLog(
          rounds.map((round) => [...round, all]),
          () => Number(present),
        );
        for (const { verdict } of judged) assert.equal(verdict, 'OK');
      },
    ),
  );
});

test('a group that commits something in each round is never STOP or STALL', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 60 }),
      fc.integer({ min: 0, max: 1 }),
      (strides, present) => {
        const log = new Log();
        log.do({ kind: 'produce', n: 10_000 });
        const judged = watchLog(
          strides.map((n) => [{ kind: 'consume', n }]),
          () => present,
          log,
        );
        for (const { verdict } of judged) assert.ok(verdict !== 'STOP' && verdict !== 'STALL', verdict);
      },
    ),
  );
});

test('something waits and nothing moves: STOP without a consumer, STALL with one, within their time', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(20), { minLength: 6, maxLength: 40 }),
      fc.integer({ min: 0, max: 3 }),
      (came, consumers) => {
        const log = new Log();
        log.do({ kind: 'produce', n: 10 });
        log.do({ kind: 'consume', n: 5 });
        const judged = watchLog(
          came.map((n) => [{ kind: 'produce', n }]),
          () => consumers,
          log,
        );
        const wanted = consumers === 0 ? 'STOP' : 'STALL';
        const after = (consumers === 0 ? LIMITS.stopAfterMs : LIMITS.stallAfterMs) / EVERY_MS;
        for (const { verdict } of judged.slice(after)) assert.equal(verdict, wanted);
        for (const { verdict } of judged.slice(0, after)) assert.notEqual(verdict, wanted);
      },
    ),
  );
});

/** Times at which records come, epoch milliseconds, ascending. */
const arrivals = fc
  .array(fc.integer({ min: 0, max: 4_000 }), { minLength: 1, maxLength: 200 })
  .map((gaps) => {
    let at = 0;
    return gaps.map((gap) => (at += gap));
  });

test('an interpolated time of a record lies between the two measurements that it came between', () => {
  fc.assert(
    fc.property(arrivals, fc.nat(), (times, pick) => {
      const trail = new Trail();
      trail.add(0, -1);
      const last = times.at(-1) as number;
      for (let at = EVERY_MS; at < last + 2 * EVERY_MS && at < 60 * EVERY_MS; at += EVERY_MS)
        trail.add(times.filter((time) => time < at).length, at);
      const offset = pick % times.length;
      const truth = times[offset] as number;
      const found = trail.timeOf(offset);
      if (found === null) return; // it came after the last measurement
      assert.ok(found.exact);
      assert.ok(Math.abs(found.at - truth) <= EVERY_MS, `${found.at} for ${truth}`);
    }),
  );
});

test('under an even input the time lag is within a second of the truth', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 500 }), // records a second
      fc.integer({ min: 1, max: 200 }), // seconds behind
      fc.double({ min: 0, max: 2, noNaN: true }), // how fast the group reads, in inputs
      (perSecond, behindS, pace) => {
        const watch = new Watch(LIMITS);
        const begin = 400; // seconds; the log has been watched for so long when it is looked at
        for (let s = 0; s <= begin; s += EVERY_MS / 1_000) {
          const end = s * perSecond;
          const from = Math.max(0, (s - behindS) * perSecond);
          const committed = Math.min(end, Math.floor(from * Math.min(1, 0.5 + pace)));
          const { lag, timeLagMs, timeLagBy } = watch.take({
            at: s * 1_000,
            committed,
            start: 0,
            end,
            consumers: 1,
          });
          if (lag === 0 || timeLagBy !== 'interpolated') continue;
          const truth = s * 1_000 - (committed / perSecond) * 1_000;
          assert.ok(Math.abs((timeLagMs as number) - truth) <= 1_000, `${timeLagMs} for ${truth} at ${s} s`);
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('the time of a record that was read is taken as it is, also for what stands near it', () => {
  const watch = new Watch(LIMITS);
  const base = { start: 0, end: 10_000, consumers: 1 };
  const read = watch.take({ ...base, at: 100_000, committed: 4_000, headAt: 40_000 });
  assert.deepEqual([read.timeLagMs, read.timeLagBy], [60_000, 'record']);
  // Known from there on: 4000 came at 40 s and 10000 not after 100 s.
  const later = watch.take({ ...base, at: 105_000, committed: 7_000 });
  assert.equal(later.timeLagBy, 'interpolated');
  assert.ok(Math.abs((later.timeLagMs as number) - 35_000) < 100, String(later.timeLagMs));
  assert.equal(watch.take({ ...base, at: 110_000, committed: 9_000, headAt: 190_000 }).timeLagMs, 0);
});

test('a queue as a log: head and end never go back, and what lies between them is its depth', () => {
  const counters = fc.record({ depth: fc.nat(1_000), done: fc.nat(5_000) });
  fc.assert(
    fc.property(fc.array(counters, { minLength: 1 }), (list: QueueCounters[]) => {
      let before: QueuePlace | null = null;
      for (const one of list) {
        const place: QueuePlace = queuePlace(before, one);
        assert.equal(place.end - place.head, one.depth);
        if (before !== null) assert.ok(place.end >= before.end && place.head >= before.head);
        before = place;
      }
    }),
  );
});

test('a verdict gets worse only after its hold, and better only after it was better for long enough', () => {
  const finding = fc.record({
    verdict: fc.constantFrom('OK' as const, 'WARN' as const, 'ERR' as const, 'STOP' as const),
    ms: fc.integer({ min: 500, max: 8_000 }),
  });
  fc.assert(
    fc.property(fc.array(finding, { maxLength: 80 }), (list) => {
      let settled: Settled | null = null;
      let at = 0;
      /** Since when findings have stood above, and below, what is the verdict now. */
      const lasted = { above: 0, below: 0 };
      for (const { verdict, ms } of list) {
        at += ms;
        const holds = verdict === 'WARN' || verdict === 'ERR';
        const found: Finding = { verdict, holds, rule: unmeasured('').rule };
        const before: Settled | null = settled;
        settled = settle(before, found, at, LIMITS);
        if (before === null || before.verdict === 'UNKNOWN') continue;
        const by = RANK[verdict] - RANK[before.verdict];
        lasted.above = by > 0 ? lasted.above || at : 0;
        lasted.below = by < 0 ? lasted.below || at : 0;
        if (settled.verdict === before.verdict) continue;
        assert.equal(settled.verdict, verdict);
        if (by > 0 && holds) assert.ok(at - lasted.above >= LIMITS.holdMs);
        if (by < 0) assert.ok(at - lasted.below >= LIMITS.clearMs);
        lasted.above = lasted.below = 0;
      }
    }),
    { numRuns: 300 },
  );
});

test('numbers of rules stay as they are documented', () => {
  const figures = {
    ...{ lag: null, timeLagMs: null, timeLagBy: null, velocity: null, etaMs: null },
    ...{ retentionMarginItems: null, timeToLossMs: null, inRate: null, outRate: null },
  } as const;
  const facts = {
    ...{ window: [], limits: LIMITS, waitingSince: null, movedAt: 0, absentSince: null, presentSince: 0 },
    ...{ unansweredSince: null, rewoundFrom: null, restlessSince: null, strideMs: null },
  };
  const now = { at: 0, committed: 5, start: 0, end: 9, consumers: 1 };
  assert.equal(judge({ ...facts, now, figures }).rule.number, 15);
  assert.equal(judge({ ...facts, now: { ...now, committed: 10 }, figures }).rule.number, 5);
  assert.equal(judge({ ...facts, now: { ...now, start: 7 }, figures }).rule.number, 8);
  assert.equal(judge({ ...facts, now, figures: { ...figures, lag: 0 } }).rule.number, 10);
});
