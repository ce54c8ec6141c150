import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger, Metrics } from '@weir/observe';
import { type Faults, faultFs, MemoryDisk, until } from '@weir/testkit';
import type { Client } from 'aedes';
import { EdgeClock } from '../clock/index.ts';
import { brokerHooks } from '../door/hooks.ts';
import { RESTORED, Session, TopicRoom } from '../door/session.ts';
import { EdgeEvents } from '../events.ts';
import { AliveDevices } from '../liveness/alive-devices.ts';
import { DESTINATIONS, Spool, type WhenFull } from '../spool/index.ts';
import { decodePayload } from '../steps/decode-payload.ts';
import { deadLetterPart, Intake, type Part, readingPart } from './intake.ts';

const within = { deadlineMs: 20_000, everyMs: 1 };

interface Rig {
  readonly spool: Spool;
  readonly intake: Intake;
  readonly events: EdgeEvents;
  readonly faults: Faults;
  /** Sum of `weir_ledger_readings_total` over the samples with these labels. */
  ledger(labels: Readonly<Record<string, string>>): Promise<number>;
}

/** The intake over a real spool on a disk in memory. */
async function rig(whenFull: WhenFull, maxBytes = 64_000): Promise<Rig> {
  const faults: Faults = {};
  const metrics = new Metrics('edge');
  const events = new EdgeEvents(createLogger({ app: 'edge', level: 'fatal', format: 'json' }), metrics);
  const spool = await Spool.open({
    dir: '/spool',
    fs: faultFs(new MemoryDisk(), faults),
    maxBytes,
    segmentBytes: 4_000,
    memoryBytes: 32_000,
    whenFull,
    saveMs: 1,
    onFatal: (error) => assert.fail(error),
    onDropped: (dropped) => events.droppedBySpool(dropped),
  });
  const intake = new Intake({
    edgeId: 'edge-1',
    spool,
    clock: new EdgeClock({ dir: '/edge', maxAheadMs: 0 }),
    events,
    whenFull,
    onFree: () => {},
  });
  return {
    spool,
    intake,
    events,
    faults,
    async ledger(labels) {
      const metric = await metrics.registry.getSingleMetric('weir_ledger_readings_total')?.get();
      return (metric?.values ?? [])
        .filter((value) =>
          Object.entries(labels).every(
            ([key, text]) => (value.labels as Record<string, unknown>)[key] === text,
          ),
        )
        .reduce((sum, { value }) => sum + value, 0);
    },
  };
}
const part = (bytes = 400, count = 1): Part =>
  readingPart('{"x":1', 3, { at: 1, critical: false }, Buffer.alloc(bytes, 0x31), count);

test('the stop is over although QoS 0 publishes keep coming', async () => {
  const { spool, intake, faults } = await rig('block', 1 << 20);
  faults.fsyncDelayMs = 20;
  let settled = 0;
  let sending = true;
  const send = (): void => {
    if (!sending) return;
    intake.offer([part(10)], () => settled++);
    setTimeout(send, 1);
  };
  send();
  await until(() => settled > 3, { ...within, what: 'some are durable' });
  const stopping = intake.settle().then(() => true);
  const late = new Promise<false>((resolve) => setTimeout(resolve, 2_000, false).unref());
  assert.equal(await Promise.race([stopping, late]), true, 'settle() waits for what came after it');
  sending = false;
  await spool.close();
});

test('after the stop began nothing is parked: it is refused at once, and the spool closes', async () => {
  const { spool, intake } = await rig('block');
  const errors: (Error | null)[] = [];
  while (spool.state !== 'blocked') {
    intake.submit([part()], () => {});
    await new Promise((resolve) => setImmediate(resolve));
  }
  await intake.settle();
  intake.submit([part()], (error) => errors.push(error));
  await until(() => errors.length === 1, { ...within, what: 'an answer' });
  assert.match(String(errors[0]), /stops/);
  assert.equal(intake.parked, 0);
  await spool.close();
});

function doors({ intake, events }: Rig) {
  const hooks = brokerHooks({
    intake,
    events,
    decode: decodePayload({ maxFutureMs: 300_000, maxReadings: 1_000 }),
    broker: () => ({ hasWideSubscribers: false, alive: new AliveDevices() }) as never,
    sessionOf: () => null,
    maxSubscriptions: 1,
  });
  const session = new Session(
    'd1',
    { device: 'd1', site: 'plant', mayPublish: () => true, maySubscribe: () => false },
    new Map(),
    {
      edge: intake.edge,
      via: 'mqtt',
      zoneOf: () => undefined,
      classesOf: () => undefined,
      room: new TopicRoom(),
      read: () => ({ kind: 'telemetry', site: 'plant', device: 'd1', metric: 't' }) as never,
    },
  );
  const client = { id: 'd1', conn: { session } } as unknown as Client;
  const publish = (packet: object, done: (error?: Error | null) => void): void =>
    hooks.authorizePublish(
      client,
      { cmd: 'publish', topic: 'a', payload: Buffer.from('[1,2]'), retain: false, ...packet } as never,
      done,
    );
  return { publish, session };
}

test('a QoS 2 publish that comes again before its fsync is not answered before it', async () => {
  const edge = await rig('block');
  const { publish } = doors(edge);
  edge.faults.fsyncDelayMs = 200;
  const answers: string[] = [];
  publish({ qos: 2, messageId: 7 }, () => answers.push('first'));
  publish({ qos: 2, messageId: 7, dup: true }, () => answers.push('again'));
  assert.equal(answers.length, 0);
  await until(() => answers.length === 2, { ...within, what: 'both are answered' });
  assert.deepEqual(answers, ['first', 'again']);
  publish({ qos: 2, messageId: 7, dup: true }, () => answers.push('later'));
  assert.equal(answers.at(-1), 'later');
  assert.equal(edge.spool.stats.lastN, 1);
  assert.equal(await edge.ledger({ outcome: 'stored' }), 2);
  assert.equal(await edge.ledger({ outcome: 'duplicate' }), 4);
  await edge.spool.close();
});

test('a packet id that the store remembers is a repetition with DUP only', async () => {
  const edge = await rig('block');
  const { publish, session } = doors(edge);
  session.unreleased.set(7, RESTORED).set(8, RESTORED);
  const answers: unknown[] = [];
  publish({ qos: 2, messageId: 7, dup: true }, (error) => answers.push(error));
  publish({ qos: 2, messageId: 8, dup: false }, (error) => answers.push(error));
  await until(() => answers.length === 2, { ...within, what: 'both are answered' });
  assert.deepEqual(answers, [null, null]);
  assert.equal(edge.spool.stats.lastN, 1, 'the new one is in the spool');
  await edge.spool.close();
});

test('drop-newest: what is dropped is acknowledged and counted as dropped, not as stored', async () => {
  const edge = await rig('drop-newest', 8_000);
  const { publish } = doors(edge);
  const payloads = ['[1,2]', '["x",1]', '{'];
  let answered = 0;
  for (let i = 0; i < 90; i++) {
    publish({ qos: 1, messageId: i + 1, payload: Buffer.from(payloads[i % 3] as string) }, (error) => {
      assert.equal(error, null);
      answered++;
    });
    await until(() => edge.spool.stats.pendingBytes === 0, { ...within, what: 'it is written' });
  }
  await until(() => answered === 90, { ...within, what: 'all are answered' });
  const sums = {
    stored: await edge.ledger({ outcome: 'stored' }),
    buried: await edge.ledger({ outcome: 'dead_lettered' }),
    dropped: await edge.ledger({ outcome: 'dropped', reason: 'spool-drop-newest' }),
  };
  assert.ok(sums.dropped > 0 && sums.stored > 0, JSON.stringify(sums));
  assert.equal(sums.stored + sums.buried + sums.dropped, 30 * 2 + 30 * 2 + 30, JSON.stringify(sums));
  await edge.spool.close();
});

test('drop-oldest: a drop is counted at the hop that does not get the reading', async () => {
  const edge = await rig('drop-oldest');
  let stored = 0;
  for (let i = 0; i < 400; i++) {
    edge.intake.submit([part()], (error) => {
      if (error === null) stored++;
    });
    await until(() => stored === i + 1, { ...within, what: 'it is durable' });
  }
  const each = await Promise.all(
    ['edge', 'forward-kafka', 'forward-rabbitmq'].map((hop) => edge.ledger({ outcome: 'dropped', hop })),
  );
  assert.equal(each[0], 0);
  assert.ok((each[1] as number) > 0);
  assert.equal(each[1], each[2]);
  await edge.spool.close();
});

test('what waits is bounded by what it takes in memory, not by its payload alone', () => {
  const letter = deadLetterPart(
    { reason: 'decode', stage: 's', message: 'm', bytes: Buffer.from('{') },
    { system: 'mqtt', name: 't', device: 'd1', at: 1 },
  );
  for (const { bytes } of [part(1), letter]) assert.ok(bytes >= 500);
});

test('prioritize: critical readings that found the reserve full go before the normal ones that wait', async () => {
  const { spool, intake } = await rig('prioritize');
  const alarm = readingPart('{"x":1', 3, { at: 1, critical: true }, Buffer.alloc(400, 0x31), 1);
  const submit = async (one: Part, upTo: number): Promise<void> => {
    while (intake.parked < upTo) {
      intake.submit([one], () => {});
      await until(() => spool.stats.pendingBytes === 0, { ...within, what: 'it is written' });
    }
  };
  await submit(part(), 3);
  await submit(alarm, 4);
  const answers: string[] = [];
  intake.submit([alarm], () => answers.push('critical'));
  intake.submit([part()], () => answers.push('normal'));
  assert.equal(intake.parked, 6);
  // One segment goes: room in the reserve, and nowhere else.
  const never = new AbortController().signal;
  for (const name of DESTINATIONS) {
    const reader = spool.reader(name);
    const [first] = await reader.next(4_200, never);
    reader.commit(name === 'critical' ? (first?.n ?? 0) - 1 : 9);
  }
  await until(() => answers.length === 1, { ...within, what: 'the critical reading is durable' });
  assert.deepEqual([answers, intake.parked], [['critical'], 4]);
  await Promise.all([intake.settle(), spool.close()]);
  assert.deepEqual(answers, ['critical', 'normal']);
});
