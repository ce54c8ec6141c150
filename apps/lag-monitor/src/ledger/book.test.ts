import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ledger } from '@weir/api';
import { balance, type LedgerInput } from '@weir/ledger';
import { Book } from './book.ts';
import { describeFlows } from './describe-flows.ts';

const none: LedgerInput = {
  ...{ began: 0, edges: [], readToEnd: new Set(), windows: [], missingObjects: [], acknowledged: new Map() },
  ...{ outcomes: null, letters: [] },
};
const quiet = { began: 0, unanswered: [], flows: [] };
const gone = {
  ...none,
  missingObjects: [{ key: 'raw/v1/dt=2026-01-01/hour=00/p3-0-9.ndjson.zst', readings: 1_400 }],
};

test('a residual becomes an alarm when it has lasted, and not when it comes and goes', () => {
  const book = new Book();
  const at = (ms: number, input: LedgerInput): readonly string[] => {
    book.enter(balance(input), quiet, ms);
    return book.alarms.map(({ hop }) => hop);
  };
  assert.deepEqual(at(0, gone), []);
  assert.deepEqual(at(19_000, gone), []);
  assert.deepEqual(at(19_500, none), []);
  assert.deepEqual(at(21_000, gone), []);
  assert.deepEqual(at(40_999, gone), []);
  assert.deepEqual(at(41_000, gone), ['archive']);
});

test('what is missing, what was taken note of, and who is silent stand in sentences', () => {
  const book = new Book();
  assert.equal(new Book().current, null);
  book.enter(balance(gone), { ...quiet, unanswered: ['the edge at http://b:8081'] }, 5);
  const found = ledger.parse(book.current);
  assert.equal(
    found.text,
    '1,400 readings are missing: 1,400 at archive. Not known at the moment: the edge at http://b:8081.',
  );
  assert.match(found.hops[2]?.text ?? '', /^1,400 readings were archived and are gone: raw\/v1.*zst\.$/);
  const [loss] = found.losses;
  book.enter(balance({ ...gone, acknowledged: new Map([[loss?.id ?? '', 1_400]]) }), quiet, 6);
  assert.deepEqual(
    [book.current?.text, book.current?.hops[2]?.text],
    ['The ledger balances.', '1,400 readings are missing and were taken note of.'],
  );
});

test('dead letters that are gone are told as letters, and what is only counted stands beside the balance', () => {
  const book = new Book();
  const letters = [{ partition: 4, next: 9n, taken: 8, missing: 1, log: { start: 9n, end: 9n } }];
  const flows = describeFlows({ taken: 3, waiting: null }, (app) => (app === 'edge' ? 70 : null));
  book.enter(balance({ ...none, letters }), { ...quiet, flows }, 5);
  const found = ledger.parse(book.current);
  assert.equal(found.text, '1 dead letter is missing: 1 at dead-letters.');
  assert.deepEqual(
    found.hops.filter(({ residual }) => residual > 0).map(({ hop, unit, text }) => [hop, unit, text]),
    [['dead-letters', 'letters', '1 dead letter left Kafka (partition 4) without having been indexed.']],
  );
  assert.deepEqual(
    found.flows.map(({ flow, sent, stored, inFlight }) => [flow, sent, stored, inFlight]),
    [
      ['alerter', 70, null, null],
      ['dead-letter-queues', null, 3, null],
    ],
  );
});
