import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { atEnd, type Scope } from '@weir/testkit';
import AsyncLevelPersistence from 'aedes-persistence-level/asyncPersistence.js';
import { ClassicLevel } from 'classic-level';
import fc from 'fast-check';
import { Holders } from './holders.ts';
import { SessionStore } from './session-store.ts';

type Db = ClassicLevel<string, Buffer>;

async function openDb(scope: Scope): Promise<Db> {
  const dir = await mkdtemp(join(tmpdir(), 'weir-sessions-'));
  const db: Db = new ClassicLevel<string, Buffer>(dir, { valueEncoding: 'buffer' });
  await db.open();
  atEnd(scope, async () => {
    await db.close();
    await rm(dir, { recursive: true, force: true });
  });
  return db;
}

const BROKER = { id: 'edge' };
async function openStore(db: Db): Promise<SessionStore> {
  const store = new SessionStore(db, 'cmd/v1/', 1_000);
  await store.setup(BROKER);
  return store;
}
async function openPlain(db: Db): Promise<AsyncLevelPersistence> {
  const store = new AsyncLevelPersistence(db);
  await store.setup(BROKER);
  return store;
}

const publish = (messageId: number) => ({
  ...{ cmd: 'publish', topic: 'a', payload: Buffer.from('1'), qos: 2, retain: false, dup: false },
  ...{ messageId, brokerId: BROKER.id, brokerCounter: messageId },
});
const steps = fc.array(
  fc.record({
    // one is the beginning of another, one needs escaping
    id: fc.constantFrom('a', 'ab', 'b:ü/1'),
    what: fc.constantFrom(
      'subscribe',
      'clean',
      'receive',
      'release',
      'cleanIncoming',
      'will',
      'noWill',
      'queue',
      'restart',
    ),
    n: fc.integer({ min: 1, max: 3 }),
  }),
  { maxLength: 30 },
);

test('property: what it does not look for is not there', async (t) => {
  const [ours, theirs] = [await openDb(t), await openDb(t)];
  await fc.assert(
    fc.asyncProperty(steps, async (sequence) => {
      await Promise.all([ours.clear(), theirs.clear()]);
      let store = await openStore(ours);
      let plain = await openPlain(theirs);
      for (const { id, what, n } of sequence) {
        const client = { id };
        const both = (run: (of: AsyncLevelPersistence) => Promise<unknown>) =>
          Promise.all([run(store), run(plain)]);
        if (what === 'restart') {
          store = await openStore(ours);
          plain = await openPlain(theirs);
        }
        if (what === 'subscribe')
          await both((of) => of.addSubscriptions(client, [{ topic: `t${n}`, qos: 1 }]));
        if (what === 'receive') await both((of) => of.incomingStorePacket(client, publish(n)));
        if (what === 'release') await both((of) => of.incomingDelPacket(client, publish(n)));
        if (what === 'cleanIncoming') await both((of) => of.cleanIncoming(client));
        if (what === 'will') await both((of) => of.putWill(client, publish(n)));
        if (what === 'noWill') await both((of) => of.delWill(client));
        if (what === 'queue') await both((of) => of.outgoingEnqueue({ clientId: id }, publish(n)));
        if (what === 'clean') {
          await both((of) => of.cleanSubscriptions(client));
          // ours alone: what was queued goes with the session
          for (const kind of ['outgoing', 'outgoing-id']) {
            const prefix = `${kind}:${encodeURIComponent(id)}`;
            await theirs.clear({ gte: `${prefix}:`, lt: `${prefix};` });
          }
        }
        const [found, wanted] = await both((of) => of.subscriptionsByClient(client));
        assert.deepEqual(found, wanted);
        assert.deepEqual(
          await store.outgoingStream(client).toArray(),
          (await plain.outgoingStream(client).toArray()).map((packet: object) => ({ ...packet, dup: true })),
        );
        assert.equal(
          (await store.unreleased(id)).length,
          (await theirs.keys().all()).filter((key) => key.startsWith(`incoming:${encodeURIComponent(id)}:`))
            .length,
        );
      }
      assert.deepEqual(await ours.iterator().all(), await theirs.iterator().all());
    }),
    { numRuns: 40 },
  );
});

test('what is written while it is removed is not forgotten', async () => {
  for (const endsFirst of ['write', 'removal']) {
    const holders = new Holders();
    holders.note('a');
    const write = Promise.withResolvers<void>();
    const removal = Promise.withResolvers<void>();
    const removed = holders.removing('a', () => removal.promise);
    const written = holders.writing('a', () => write.promise);
    if (endsFirst === 'write') write.resolve();
    else removal.resolve();
    await (endsFirst === 'write' ? written : removed);
    write.resolve();
    removal.resolve();
    await Promise.all([written, removed]);
    assert.ok(holders.has('a'), endsFirst);
  }
});
