import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import type { LagVerdict } from '@weir/api';
import { LIMITS } from './limits.fixture.ts';
import { type QueueCounters, type QueuePlace, queuePlace } from './queue.ts';
import type { Limits, Measurement } from './types.ts';
import { Watch } from './watch.ts';

type Sample = { readonly at: number; readonly headAt?: number; readonly why?: string } & Omit<
  Measurement,
  'at' | 'headAt'
> &
  QueueCounters;
/** Times in seconds. `rule` null: whichever. */
interface Golden {
  readonly what: string;
  readonly kind: 'log' | 'queue';
  readonly limits?: Partial<Limits>;
  readonly verdicts: readonly {
    readonly from: number;
    readonly verdict: LagVerdict;
    readonly rule: number | null;
  }[];
  readonly samples: readonly Sample[];
}

function play({ kind, limits, samples }: Golden): { at: number; verdict: LagVerdict; rule: number }[] {
  const watch = new Watch({ ...LIMITS, ...limits });
  let place: QueuePlace | null = null;
  return samples.map(({ at, headAt, why, ...sample }) => {
    const ms = at * 1_000;
    if (why !== undefined) {
      const { verdict, rule } = watch.take({ at: ms, why });
      return { at, verdict, rule: rule.number };
    }
    if (kind === 'queue') place = queuePlace(place, sample);
    const { verdict, rule } = watch.take({
      ...sample,
      ...(place === null ? {} : { committed: place.head, start: 0, end: place.end }),
      ...(headAt === undefined ? {} : { headAt: headAt * 1_000 }),
      at: ms,
    });
    return { at, verdict, rule: rule.number };
  });
}

for (const path of globSync('golden/*.json', { cwd: import.meta.dirname }).sort()) {
  const golden = JSON.parse(readFileSync(join(import.meta.dirname, path), 'utf8')) as Golden;
  test(`${basename(path, '.json')}: ${golden.what}`, () => {
    const expected = (at: number) => golden.verdicts.findLast(({ from }) => from <= at);
    for (const { at, verdict, rule } of play(golden)) {
      const right = expected(at);
      assert.equal(verdict, right?.verdict, `at ${at} s, by rule ${rule}`);
      if (verdict === 'UNKNOWN' || verdict === 'STOP') assert.equal(rule, right?.rule, `rule at ${at} s`);
    }
    for (const { from, rule } of golden.verdicts) {
      const found = play(golden).find(({ at }) => at === from);
      if (rule !== null) assert.equal(found?.rule, rule, `rule at ${from} s`);
    }
  });
}
