import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Balance, balance, type LedgerInput, type LiveEdge, type ReaderSource } from './balance.ts';
import { Received } from './received.ts';
import { formatSent, parseSent, type Sent } from './sent.ts';

const none: LedgerInput = {
  began: 0,
  edges: [],
  readToEnd: new Set(),
  windows: [],
  outcomes: null,
  letters: [],
  missingObjects: [],
  acknowledged: new Map(),
};
const hop = (found: Balance, name: string) => found.hops.find((one) => one.hop === name);

interface Entry {
  readonly sent: Sent;
  readonly offset: bigint;
}

/** One edge, one partition of the log, one reader of it; every part may die and go on from what it has saved. */
class Pipeline {
  readonly edge: LiveEdge & { counted: number; sent: number[] };
  /** Readings of each line in the spool; null: the line is lost. */
  readonly spool: (number | null)[] = [];
  private at = 0;
  private saved: { at: number; counted: number; sent: number; lost: number };
  log: Entry[] = [];
  private end = 0;
  /** Readings that were damaged in the spool. */
  damaged = 0;
  /** Readings that came, by the edge's count. */
  readonly came = new Set<number>();
  private readonly delivered = new Set<number>();
  private readonly reader: { next: number; stored: ReaderSource[]; received: Received };

  constructor(edge: string) {
    this.edge = {
      ...{ edge, since: 5, taken: 0, counted: 0, sent: [0] },
      ...{ letters: 0, buried: 0, dropped: 0, lost: 0 },
    };
    this.saved = { at: 0, counted: 0, sent: 0, lost: 0 };
    this.reader = { next: 0, stored: [], received: new Received(0, []) };
  }
  take(count: number): void {
    this.spool.push(count);
    Object.assign(this.edge, { taken: this.edge.taken + count });
  }
  /** A line that was not sent yet is damaged. */
  damage(): void {
    const index = this.spool.findIndex((line, i) => i >= this.at && line !== null && !this.delivered.has(i));
    // the last line has nothing behind it that could tell
    if (index < 0 || index >= this.spool.length - 1) return;
    this.damaged += this.spool[index] as number;
    this.lostCounts.set(index, this.spool[index] as number);
    this.spool[index] = null;
  }
  private readonly lostCounts = new Map<number, number>();
  forward(lines: number, crash: boolean): void {
    const hand = this.spool.slice(this.at, this.at + lines);
    // a round ends with a line that tells how many went before it
    while (hand.length > 0 && hand.at(-1) === null) hand.pop();
    const { edge } = this;
    let readings = 0;
    let missing = 0;
    hand.forEach((line, i) => {
      readings += line ?? 0;
      if (line === null) missing += this.lostCounts.get(this.at + i) as number;
      else this.delivered.add(this.at + i);
    });
    if (readings === 0) return;
    Object.assign(edge, { lost: edge.lost + missing, counted: edge.counted + readings + missing });
    const before = edge.sent[0] as number;
    const { letters, buried, dropped, lost } = edge;
    const header = formatSent({
      ...{ edge: edge.edge, since: 5, before, after: before + readings, letters, buried, dropped, lost },
    });
    this.log.push({ sent: parseSent(header) as Sent, offset: BigInt(this.end++) });
    edge.sent[0] = before + readings;
    this.at += hand.length;
    if (crash) {
      this.at = this.saved.at;
      Object.assign(edge, { counted: this.saved.counted, lost: this.saved.lost });
      edge.sent[0] = this.saved.sent;
    } else this.saved = { at: this.at, counted: edge.counted, sent: edge.sent[0], lost: edge.lost };
  }
  /** The oldest records of the log go away. */
  cut(records: number): void {
    this.log.splice(0, records);
  }
  read(records: number, crash: boolean): void {
    const { reader } = this;
    const hand = this.log.filter(({ offset }) => offset >= reader.next).slice(0, records);
    for (const { sent, offset } of hand) reader.received.take(sent, offset);
    if (crash) reader.received = new Received(0, reader.stored);
    else {
      for (const source of reader.received.takeChanged()) reader.stored = [{ ...source, partition: 0 }];
      for (const { sent } of hand) for (let i = sent.before; i < sent.after; i++) this.came.add(i);
      const last = hand.at(-1);
      if (last !== undefined) reader.next = Number(last.offset) + 1;
    }
  }
  get input(): LedgerInput {
    const start = this.log[0] === undefined ? this.end : Number(this.log[0].offset);
    const { reader } = this;
    const isRead = Math.max(reader.next, start) >= this.end;
    return {
      ...none,
      edges: [this.edge],
      readToEnd: new Set(isRead ? [0] : []),
      windows: reader.stored,
    };
  }
}

const step = fc.oneof(
  fc.record({ do: fc.constant('take' as const), count: fc.integer({ min: 1, max: 9 }) }),
  fc.record({
    do: fc.constant('forward' as const),
    count: fc.integer({ min: 1, max: 4 }),
    crash: fc.boolean(),
  }),
  fc.record({
    do: fc.constant('windows' as const),
    count: fc.integer({ min: 1, max: 4 }),
    crash: fc.boolean(),
  }),
);
const sabotage = fc.oneof(
  step,
  step,
  step,
  fc.record({ do: fc.constant('damage' as const) }),
  fc.record({ do: fc.constant('cut' as const), count: fc.integer({ min: 1, max: 3 }) }),
);

interface Step {
  readonly do: string;
  readonly count?: number;
  readonly crash?: boolean;
}

function play(pipeline: Pipeline, { do: what, count = 0, crash = false }: Step): void {
  if (what === 'take') pipeline.take(count);
  else if (what === 'forward') pipeline.forward(count, crash);
  else if (what === 'damage') pipeline.damage();
  else if (what === 'cut') pipeline.cut(count);
  else pipeline.read(count, crash);
}

test('property: whoever crashes, whatever is sent again, an undisturbed pipeline never has a residual', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const pipeline = new Pipeline('e/s');
      for (const one of steps) {
        play(pipeline, one);
        const { residual, losses } = balance(pipeline.input);
        assert.equal(residual, 0);
        assert.deepEqual(losses, []);
      }
    }),
    { numRuns: 300 },
  );
});

test('property: the residual is exactly what is gone, at the hop where it went', () => {
  fc.assert(
    fc.property(fc.array(sabotage, { maxLength: 80 }), (steps) => {
      const pipeline = new Pipeline('e/s');
      for (const one of steps) {
        play(pipeline, one);
        const spool = hop(balance(pipeline.input), 'spool')?.residual ?? 0;
        assert.ok(spool <= pipeline.damaged, 'never more than is gone');
      }
      pipeline.take(1);
      pipeline.forward(1_000, false);
      pipeline.read(1_000, false);
      const found = balance(pipeline.input);
      const sent = pipeline.edge.sent[0] as number;
      assert.equal(hop(found, 'spool')?.residual, pipeline.damaged);
      assert.equal(hop(found, 'kafka')?.residual, sent - pipeline.came.size);
      assert.deepEqual(
        found.hops.map(({ inFlight }) => inFlight),
        [0, 0, null, null],
      );
    }),
    { numRuns: 300 },
  );
});

test('what somebody took note of is no residual, what is lost beyond it is', () => {
  const missingObjects = [
    { key: 'raw/v1/a', readings: 40 },
    { key: 'raw/v1/b', readings: 2 },
  ];
  const acknowledged = new Map([['archive raw/v1/a', 40]]);
  const found = balance({ ...none, missingObjects, acknowledged });
  assert.equal(found.residual, 2);
  const { lost, residual, inFlight } = hop(found, 'archive') ?? {};
  assert.deepEqual([lost, residual, inFlight], [42, 2, null]);
});

test('a count that is older than the ledger is taken on where it is', () => {
  const edge = {
    edge: 'e/s',
    since: 5,
    taken: 100,
    counted: 100,
    sent: [60, 40],
    letters: 0,
    buried: 0,
    dropped: 0,
    lost: 0,
  };
  const input = { ...none, began: 6, edges: [edge], readToEnd: new Set([0, 1]) };
  assert.equal(balance(input).residual, 0);
  const received = new Received(6, []);
  assert.equal(received.take({ ...edge, before: 60, after: 70 }, 9n), 0);
  assert.equal(received.take({ ...edge, before: 71, after: 72 }, 10n), 1);
});

test('an edge that lost its count begins another; what it had lost stays known', () => {
  const received = new Received(0, []);
  const sent = { edge: 'e/s', since: 5, letters: 0, buried: 0, dropped: 0, lost: 3 };
  received.take({ ...sent, before: 0, after: 10 }, 0n);
  assert.equal(received.take({ ...sent, since: 9, lost: 0, before: 0, after: 4 }, 1n), 0);
  const [source] = received.takeChanged();
  assert.deepEqual([source?.through, source?.missing, source?.lostBefore], [4, 0, 3]);
  const found = balance({ ...none, windows: [{ ...(source as ReaderSource), partition: 0 }] });
  assert.equal(hop(found, 'spool')?.residual, 3);
});

test('figures of a hop: what came to it, and what became of it; what nobody can tell is no 0', () => {
  const edge = {
    ...{
      edge: 'e/s',
      since: 5,
      taken: 100,
      counted: 98,
      sent: [50, 40],
      letters: 3,
      buried: 1,
      dropped: 4,
      lost: 0,
    },
  };
  const outcomes = { stored: 80, duplicates: 7, deadLettered: 2 };
  const found = balance({ ...none, edges: [edge], outcomes });
  const { accepted, sent, deadLettered, dropped, stored, inFlight } = hop(found, 'spool') ?? {};
  assert.deepEqual([accepted, sent, deadLettered, dropped, stored, inFlight], [100, 90, 4, 4, null, 2]);
  const kafka = hop(found, 'kafka');
  assert.deepEqual([kafka?.accepted, kafka?.stored, kafka?.duplicates, kafka?.deadLettered], [90, 80, 7, 2]);
  assert.equal(hop(balance(none), 'spool')?.accepted, null);
});

test('dead letters: in the index, gone from their log, waiting in it; unknown while Kafka is', () => {
  const letters = [
    { partition: 0, next: 10n, taken: 8, missing: 2, log: { start: 4n, end: 13n } },
    { partition: 1, next: 5n, taken: 5, missing: 0, log: { start: 9n, end: 9n } },
  ];
  const found = balance({ ...none, letters });
  const of = hop(found, 'dead-letters');
  assert.deepEqual([of?.residual, of?.accepted, of?.stored, of?.inFlight], [6, 22, 13, 3]);
  assert.deepEqual(
    found.losses.map(({ id, readings }) => [id, readings]),
    [
      ['dead-letters 0', 2],
      ['dead-letters 1', 4],
    ],
  );
  const blind = hop(
    balance({ ...none, letters: letters.map((one) => ({ ...one, log: null })) }),
    'dead-letters',
  );
  assert.deepEqual([blind?.residual, blind?.accepted, blind?.stored, blind?.inFlight], [2, null, 13, null]);
});
