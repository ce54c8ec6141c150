import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ledger } from '@weir/api';
import { balance, type LedgerInput } from '@weir/ledger';
import { Book } from './book.ts';

const none: LedgerInput = {
  ...{ began: 0, edges: [], readToEnd: new Set(), windows: [], missingObjects: [], acknowledged: new Map() },
};
const gone = {
  ...none,
  missingObjects: [{ key: 'raw/v1/dt=2026-01-01/hour=00/p3-0-9.ndjson.zst', readings: 1_400 }],
};

test('a residual becomes an alarm when it has lasted, and not when it comes and goes', () => {
  const book = new Book();
  const at = (ms: number, input: LedgerInput): readonly string[] => {
    book.enter(balance(input), 0, [], ms);
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
  book.enter(balance(gone), 0, ['the edge at http://b:8081'], 5);
  const found = ledger.parse(book.current);
  assert.equal(
    found.text,
    '1,400 readings are missing: 1,400 at archive. Not known at the moment: the edge at http://b:8081.',
  );
  assert.match(found.hops[2]?.text ?? '', /^1,400 readings were archived and are gone: raw\/v1.*zst\.$/);
  const [loss] = found.losses;
  book.enter(balance({ ...gone, acknowledged: new Map([[loss?.id ?? '', 1_400]]) }), 0, [], 6);
  assert.deepEqual(
    [book.current?.text, book.current?.hops[2]?.text],
    ['The ledger balances.', '1,400 readings are missing and were taken note of.'],
  );
});
