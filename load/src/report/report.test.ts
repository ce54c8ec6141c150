import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareReports, unlike } from './compare.ts';
import { reportHtml } from './html.ts';
import { madeReport } from './report.fixture.ts';
import { figuresOf, judge, parseThreshold } from './thresholds.ts';

const passes = (text: string, report = madeReport()): boolean | undefined =>
  judge(report, [parseThreshold(text)])[0]?.passed;

test('thresholds compare figures, with units of time', () => {
  assert.equal(passes('lost == 0'), true);
  assert.equal(passes('lost==0', madeReport({ lost: 1 })), false);
  assert.equal(passes('e2e.p99 < 2s'), false);
  assert.equal(passes('e2e.p99<4s'), true);
  assert.equal(passes('ack.p99.9 <= 21ms'), true);
  assert.equal(passes('storm.sensor.ack.p50 > 30'), true);
  assert.equal(passes('rss < 100'), false);
  assert.equal(passes('goodput >= 990'), true);
  assert.equal(passes('settle.windows < 2s'), false);
});

test('a figure that the run does not have fails, with the name that was meant', () => {
  const [verdict] = judge(madeReport(), [parseThreshold('critical.p99 < 1s')]);
  assert.equal(verdict?.passed, false);
  assert.match(verdict?.sentence ?? '', /has no figure "critical\.p99"/);
  assert.match(
    judge(madeReport(), [parseThreshold('ack.p98 < 1s')])[0]?.sentence ?? '',
    /Did you mean ack\.p9/,
  );
  assert.equal(passes('lost == 0', madeReport({ lost: null })), false);
});

test('what is no threshold is refused with an example', () => {
  for (const text of ['', 'lost', 'lost = 0', 'ack.p99 < fast', 'ack.p99 < 2h'])
    assert.throws(() => parseThreshold(text), /is no threshold/, text);
});

test('a comparison knows which way is better', () => {
  const rows = compareReports(madeReport(), madeReport({ acknowledgedPerSecond: 1_200, lost: 3 }, 2), 0.05);
  const of = (figure: string) => rows.find((row) => row.figure === figure)?.verdict;
  assert.equal(of('goodput'), 'better');
  assert.equal(of('ack.p99'), 'worse');
  assert.equal(of('lost'), 'worse');
  assert.equal(of('offered'), 'same');
  assert.ok(compareReports(madeReport(), madeReport(), 0).every(({ verdict }) => verdict === 'same'));
  assert.deepEqual(unlike(madeReport(), madeReport()), []);
  assert.match(unlike(madeReport(), madeReport({ devices: 5 }))[0] ?? '', /devices: 1000 and 5/);
});

test('the page holds everything itself, and nothing of a scenario becomes markup', () => {
  const report = madeReport({ notes: ['<b>note</b>'] });
  const page = reportHtml({ ...report, thresholds: judge(report, [parseThreshold('lost == 0')]) });
  assert.match(page, /^<!doctype html>/);
  assert.doesNotMatch(page, /<(script|link|img)|https?:\/\//);
  assert.doesNotMatch(page, /NaN|undefined|<b>note|<made>/);
  assert.equal(page.match(/<svg/g)?.length, 6);
  assert.match(page, /lost == 0: holds, it is 0/);
  assert.ok(figuresOf(report).size > 100);
});
