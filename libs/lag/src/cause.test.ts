import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LagCause } from '@weir/api';
import { causesOf, type Surroundings } from './cause.ts';
import { GroupWatch, type JudgedGroup } from './group.ts';
import type { Limits, Measurement } from './types.ts';

const LIMITS: Limits = {
  allowedLagMs: 20_000,
  stopAfterMs: 9_000,
  stallAfterMs: 9_000,
  holdMs: 10_000,
  clearMs: 15_000,
  lossMarginMs: 3_600_000,
};
const EVERY_S = 5;
const CALM: Surroundings = {
  ...{ system: 'kafka', consumers: 2, rebalancing: false, brokerMs: 20, busy: null },
  others: { waiting: 0, still: 0 },
};

/** What comes in and what is done, records a second, of each partition. */
interface Pace {
  readonly came: readonly number[];
  readonly done: readonly number[];
  readonly consumers?: number;
  readonly rebalancing?: (s: number) => boolean;
}

/** Ten minutes of calm, then `seconds` of something else. */
function play(calm: Pace, then: Pace, seconds: number): JudgedGroup {
  const watch = new GroupWatch(LIMITS);
  const places = calm.came.map(() => ({ end: 0, committed: 0 }));
  let judged: JudgedGroup | undefined;
  for (let s = 0; s < 600 + seconds; s += EVERY_S) {
    const { came, done, consumers = 2, rebalancing } = s < 600 ? calm : then;
    for (const [i, place] of places.entries()) {
      place.end += (came[i] as number) * EVERY_S;
      place.committed = Math.min(place.end, place.committed + (done[i] as number) * EVERY_S);
    }
    const partitions = places.map((place, partition) => {
      const busy = rebalancing?.(s - 600) ?? false;
      const measured: Measurement = {
        ...{ at: s * 1_000, start: 0, ...place, consumers: busy ? null : Math.min(1, consumers) },
        rebalancing: busy,
      };
      return { topic: 't', partition, consumer: null, measured };
    });
    judged = watch.take(s * 1_000, partitions);
  }
  return judged as JudgedGroup;
}
const even = (n: number, came: number, done: number): Pace => ({
  came: Array.from({ length: n }, () => came),
  done: Array.from({ length: n }, () => done),
});
const CALM_PACE = even(4, 100, 150);

function likeliest(group: JudgedGroup, around: Partial<Surroundings> = {}): LagCause['cause'] {
  const [{ cause, score, text, advice }, ...others] = causesOf(group, { ...CALM, ...around });
  assert.ok(others.every((other) => other.score <= score));
  for (const sentence of [text, advice]) assert.match(sentence, /^[A-Z0-9].*\.$/);
  return cause;
}

test('nothing is wrong with what is well', () => {
  const group = play(CALM_PACE, CALM_PACE, 60);
  assert.equal(group.verdict, 'OK');
  assert.deepEqual(group.usual, { inRate: 400, outRate: 400 });
  assert.equal(likeliest(group), 'none');
});

test('more comes in than usual, and no less is done', () => {
  const group = play(CALM_PACE, even(4, 400, 150), 90);
  assert.equal(group.verdict, 'ERR');
  assert.equal(likeliest(group), 'input-spike');
});

test('less is done than usual: the consumer, or its sink where the consumer says that it waits for it', () => {
  const group = play(CALM_PACE, even(4, 100, 40), 90);
  assert.equal(group.verdict, 'ERR');
  assert.equal(likeliest(group), 'slow-consumer');
  assert.equal(likeliest(group, { busy: { sink: 0.1, work: 0.97 } }), 'slow-consumer');
  assert.equal(likeliest(group, { busy: { sink: 0.9, work: 0.1 } }), 'slow-sink');
  assert.equal(likeliest(group, { brokerMs: 2_500, busy: { sink: 0.1, work: 0.1 } }), 'broker');
});

test('a consumer for each partition, and all of them lag', () => {
  const group = play(CALM_PACE, even(4, 160, 130), 200);
  assert.equal(group.verdict, 'ERR');
  const busy = { sink: 0.1, work: 0.95 };
  assert.equal(likeliest(group, { consumers: 4, busy }), 'too-few-partitions');
  assert.notEqual(likeliest(group, { consumers: 2, busy }), 'too-few-partitions');
});

test('one partition gets most of the input and has most of the lag', () => {
  const then = { came: [50, 50, 50, 600], done: [150, 150, 150, 150] };
  assert.equal(likeliest(play(CALM_PACE, then, 60)), 'hot-partition');
});

test('nobody consumes, somebody hangs, the group does not settle', () => {
  const stopped = play(CALM_PACE, { ...even(4, 100, 0), consumers: 0 }, 30);
  assert.equal(stopped.verdict, 'STOP');
  assert.equal(likeliest(stopped, { consumers: 0 }), 'no-consumer');
  const hung = play(CALM_PACE, even(4, 100, 0), 30);
  assert.equal(hung.verdict, 'STALL');
  assert.equal(likeliest(hung), 'hung-consumer');
  assert.equal(likeliest(hung, { busy: { sink: 1, work: 0 } }), 'slow-sink');
  // Alone it hangs; with everybody else it is the broker.
  assert.equal(likeliest(hung, { others: { waiting: 5, still: 5 } }), 'broker');
  assert.equal(likeliest(hung, { others: { waiting: 5, still: 2 } }), 'hung-consumer');
  const restless = { ...even(4, 100, 0), rebalancing: (s: number) => s % 20 < 15 };
  const unsettled = play(CALM_PACE, restless, 120);
  assert.notEqual(unsettled.verdict, 'OK');
  assert.ok(unsettled.rebalances >= 5);
  assert.equal(likeliest(unsettled, { rebalancing: true }), 'rebalance');
});

test('a broker that does not answer', () => {
  const watch = new GroupWatch(LIMITS);
  const group = watch.missing(1_000, 'connecting to Kafka: refused', [{ topic: 't', partition: 0 }]);
  assert.equal(group.verdict, 'UNKNOWN');
  assert.equal(likeliest(group, { brokerMs: null }), 'broker');
});
