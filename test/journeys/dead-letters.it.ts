import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { DeadLetterChanged, DeadLetterDetail, DeadLetterFacets, DeadLetterList } from '@weir/api';
import { openAdmin } from '@weir/connect-kafka';
import { openStore } from '@weir/connect-minio';
import { openDatabase } from '@weir/connect-timescale';
import { fullLetters, openBytes } from '@weir/dead-letters';
import { createLogger } from '@weir/observe';
import { type Isolated, isolated, managementCall, spawnApp, until, withDatabase } from '@weir/testkit';
import { deadLetterBucket, kafkaTopology, PACK_PREFIX, QUEUES } from '@weir/topology';
import { connect } from 'amqplib';
import kafkajs from 'kafkajs';
import { type MadeLetter, makeLetters, publishLetters, smaller } from '../support/buried.ts';
import { weir } from '../support/pipeline.ts';

const log = createLogger({ app: 'test', level: 'error', format: 'json' });
const DLQ = QUEUES.alerterTelemetryDlq.name;

async function one<R>(space: Isolated, text: string): Promise<R> {
  return withDatabase(space.timescaleUrl, async (client) => (await client.query(text)).rows[0] as R);
}
const rows = async (space: Isolated): Promise<number> =>
  Number((await one<{ n: string }>(space, 'SELECT count(*) AS n FROM dead_letters')).n);

async function inQueue(space: Isolated, queue: string): Promise<number> {
  const path = `/api/queues/${space.namespace}/${queue}`;
  const found = (await managementCall(space.managementUrl, 'GET', path)) as { messages?: number };
  return found.messages ?? -1;
}

async function cutConnections(space: Isolated): Promise<void> {
  const list = async () =>
    (await managementCall(space.managementUrl, 'GET', `/api/vhosts/${space.namespace}/connections`)) as {
      name: string;
    }[];
  await until(async () => (await list()).length > 0, { deadlineMs: 20_000, what: 'connections to RabbitMQ' });
  // One that has ended by itself meanwhile is as good.
  for (const { name } of await list())
    await managementCall(space.managementUrl, 'DELETE', `/api/connections/${encodeURIComponent(name)}`).catch(
      () => undefined,
    );
}

/** Letters as strangers leave them: no header of ours, and many that nothing tells apart. */
async function publishForeign(space: Isolated, alike: number): Promise<void> {
  const connection = await connect(space.rabbitmqUrl);
  const channel = await connection.createConfirmChannel();
  for (let i = 0; i < alike; i++) channel.sendToQueue(DLQ, Buffer.from('poison'), { persistent: true });
  await channel.waitForConfirms();
  await connection.close();
  const kafka = new kafkajs.Kafka({ brokers: [...space.brokers], logLevel: kafkajs.logLevel.NOTHING });
  const producer = kafka.producer();
  await producer.connect();
  const offset = Buffer.alloc(8);
  offset.writeBigInt64BE(1_700_000_000_123n);
  await producer.send({
    topic: kafkaTopology(space.namespace).deadLetters.name,
    messages: [
      { key: 'k\0', value: Buffer.from([0, 255, 1]), headers: { odd: Buffer.from([0, 1, 0xff]) } },
      {
        value: '{"a":1}',
        headers: {
          '__connect.errors.topic': 'orders',
          '__connect.errors.connector.name': 'jdbc',
          '__connect.errors.stage': 'VALUE_CONVERTER',
          '__connect.errors.exception.class.name': 'org.apache.kafka.connect.errors.DataException',
          '__connect.errors.exception.message': 'no field "x"',
        },
      },
      {
        value: '',
        headers: {
          'kafka_dlt-original-topic': 'orders',
          'kafka_dlt-original-timestamp': offset,
          'kafka_dlt-exception-fqcn': 'java.lang.IllegalStateException',
          'kafka_dlt-exception-message': 'no',
        },
      },
    ],
  });
  await producer.disconnect();
}

test('every letter is one row, with its bytes, through kill -9 at any moment', {
  timeout: 600_000,
}, async (t) => {
  const space = await isolated(t);
  await weir(space.env, 'topology', 'apply');
  const made = [...makeLetters(smaller(3_000), Date.now() - 3_600_000)];
  const alike = 400;
  await publishLetters(space, made);
  await publishForeign(space, alike);
  const total = made.length + alike + 3;
  const env = { ...space.env, WEIR_DEAD_LETTERS__PACK_LETTERS: '150', WEIR_KAFKA__SESSION_TIMEOUT: '6s' };
  const app = await spawnApp(t, 'dead-letters', env);
  for (let kill = 0; kill < 4; kill++) {
    const before = await rows(space);
    await until(async () => (await rows(space)) > before || (await rows(space)) >= total, {
      deadlineMs: 60_000,
      what: 'new rows',
    });
    // Every other time it is RabbitMQ that cuts the connections, with letters in hand.
    if (kill % 2 === 1) await cutConnections(space);
    else {
      await app.kill('SIGKILL');
      await app.restart();
    }
  }
  await until(async () => (await rows(space)) >= total, { deadlineMs: 90_000, what: `${total} rows` });
  await until(async () => (await inQueue(space, DLQ)) === 0, {
    deadlineMs: 30_000,
    what: 'an empty dead-letter queue',
  });
  const { deadLetters, groups } = kafkaTopology(space.namespace);
  const admin = openAdmin({ brokers: space.brokers, clientId: 'test', log });
  t.after(() => admin.close());
  await until(
    async () => (await admin.groupLag(groups.deadLetters, deadLetters.name)).every(({ lag }) => lag === 0n),
    { deadlineMs: 30_000, what: 'the group to have committed all' },
  );
  assert.deepEqual(await app.stop(), { code: 0, signal: null });
  assert.equal(await rows(space), total);

  // A group that forgot its place reads all again, and changes nothing.
  await admin.deleteGroups([groups.deadLetters]);
  await app.restart();
  await until(async () => /weir_dlq_duplicates_total\{[^}]*\} [1-9]/.test(await app.metrics()), {
    deadlineMs: 60_000,
    what: 'letters that the index knows',
  });
  await until(
    async () => (await admin.groupLag(groups.deadLetters, deadLetters.name)).every(({ lag }) => lag === 0n),
    { deadlineMs: 60_000, what: 'the group to have committed all again' },
  );
  assert.deepEqual(await app.stop(), { code: 0, signal: null });
  assert.equal(await rows(space), total);

  await assertLetters(t, space, made, alike);
});

/** Each letter once, as it was made, and its own bytes. */
async function assertLetters(
  t: { after(tidy: () => Promise<void>): void },
  space: Isolated,
  made: readonly MadeLetter[],
  alike: number,
): Promise<void> {
  const database = openDatabase({ url: space.timescaleUrl, poolSize: 2, log });
  const store = openStore(space.minio);
  t.after(async () => {
    store.close();
    await database.close();
  });
  const bytes = openBytes(database, store, space.namespace);
  const found = await fullLetters(database, {}, { order: 'oldest', limit: 10_000 });
  const read = new Map<string, Buffer>();
  for (let at = 0; at < found.length; at += 500)
    for (const [id, body] of await bytes.original(found.slice(at, at + 500))) read.set(id, body);
  assert.equal(read.size, found.length);
  const key = (reason: string, site: string, device: string, body: Buffer): string =>
    [reason, site, device, body.toString('latin1')].join('|');
  const wanted = made.map(({ group, device, bytes: body }) => key(group.reason, group.site, device, body));
  const foreign = Array.from({ length: alike }, () => key('rejected', '', '', Buffer.from('poison')));
  foreign.push(key('rejected', '', '', Buffer.from([0, 255, 1])));
  foreign.push(key('decode', '', '', Buffer.from('{"a":1}')), key('poison', '', '', Buffer.alloc(0)));
  const present = found.map((letter) =>
    key(letter.reason, letter.site, letter.device, read.get(letter.id) as Buffer),
  );
  assert.deepEqual(present.sort(), [...wanted, ...foreign].sort());
  for (const { id } of made) if (id !== null) assert.ok(read.has(id), id);

  const connectOne = found.find(({ stage }) => stage === 'jdbc VALUE_CONVERTER');
  assert.deepEqual([connectOne?.origin, connectOne?.errorMessage], ['orders', 'no field "x"']);
  const spring = found.find(({ errorMessage }) => errorMessage === 'no');
  assert.equal(spring?.originalAt.getTime(), 1_700_000_000_123);
  const binary = found.find(({ length }) => length === 3);
  assert.deepEqual([binary?.content, binary?.headers.odd !== undefined], ['binary', true]);
  assert.equal(binary?.key?.toString(), 'k\0');
  // Per device, the order of indexing is the order in which they were buried.
  const late = found.filter(({ reason, device }) => reason === 'late' && device === 'late-000');
  const times = late.map(({ id }) => JSON.parse((read.get(id) as Buffer).toString()).payload.ts as number);
  assert.deepEqual(
    times,
    [...times].sort((a, b) => a - b),
  );
}

test('people look at letters, edit, park and purge them, and the audit says who and why', {
  timeout: 600_000,
}, async (t) => {
  const space = await isolated(t);
  await weir(space.env, 'topology', 'apply');
  const made = [...makeLetters(smaller(1_000), Date.now() - 3_600_000)];
  await publishLetters(space, made);
  const gateway = await spawnApp(t, 'gateway', space.env);
  const app = await spawnApp(t, 'dead-letters', space.env);
  await until(async () => (await rows(space)) >= made.length, { deadlineMs: 60_000, what: 'all rows' });

  const ask = async <T>(path: string): Promise<T> => {
    const response = await fetch(`${gateway.url}/api/v1/dead-letters${path}`);
    assert.equal(response.status, 200, await response.clone().text());
    return (await response.json()) as T;
  };
  const tell = async (path: string, body: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(`${gateway.url}/api/v1/dead-letters/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-weir-actor': 'ada@test', ...headers },
      body: JSON.stringify(body),
    });
    const answer = (await response.json()) as DeadLetterChanged & { readonly code?: string };
    return { status: response.status, headers: response.headers, body: answer };
  };
  const countOf = (reason: string): number => made.filter(({ group }) => group.reason === reason).length;

  const facets = await ask<DeadLetterFacets>('/facets');
  assert.equal(facets.total, made.length);
  assert.equal(facets.reason.length, 12);
  for (const { value, count } of facets.reason) assert.equal(count, countOf(value), value);
  assert.deepEqual(facets.status, [{ value: 'open', count: made.length }]);
  assert.equal(
    facets.groups.reduce((sum, { count }) => sum + count, 0),
    made.length,
  );

  // Every page once, and nothing else.
  const seen = new Set<string>();
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: DeadLetterList = await ask(`?limit=97${cursor === '' ? '' : `&cursor=${cursor}`}`);
    for (const { id } of page.letters) {
      assert.ok(!seen.has(id));
      seen.add(id);
    }
    cursor = page.next;
  }
  assert.equal(seen.size, made.length);

  // An edit that makes no reading is refused; one that does is kept beside the original.
  const selection = { reason: ['schema'] };
  const schemas = countOf('schema');
  const wrong = [{ op: 'replace', path: '/value', value: 'still no number' }];
  const refused = await tell('edit', { selection, why: 'try', patch: wrong });
  assert.deepEqual([refused.body.letters, refused.body.refused[0]?.letters], [0, schemas]);
  assert.match(refused.body.refused[0]?.why ?? '', /value must be a number/);
  const patch = [{ op: 'replace', path: '/value', value: 7 }];
  const edited = await tell('edit', { selection, why: 'a wrong firmware', patch, expect: schemas });
  assert.equal(edited.body.letters, schemas, JSON.stringify(edited.body));
  const first = made.find(({ group }) => group.reason === 'schema') as MadeLetter;
  const detail = await ask<DeadLetterDetail>(`/${first.id}`);
  assert.equal(detail.original?.text, first.bytes.toString());
  assert.equal(JSON.parse(detail.edits[0]?.bytes.text ?? '').value, 7);
  assert.deepEqual(detail.edits[0]?.difference, patch);
  assert.deepEqual(
    detail.history.map(({ actor, action, why }) => [actor, action, why]),
    [['ada@test', 'dead-letter.edit', 'a wrong firmware']],
  );
  const raw = await fetch(`${gateway.url}/api/v1/dead-letters/${first.id}/bytes`);
  assert.deepEqual(Buffer.from(await raw.arrayBuffer()), first.bytes);

  // The command line shows text and hex beside the error, says what it would do, and does it once.
  const shown = await weir(space.env, 'dlq', 'show', first.id as string);
  assert.match(shown, /schema in decode-payload: schema of reading/);
  assert.match(shown, /00000000 {2}7b 22 74 73 22/);
  const why = ['--why', 'waits for a new sink'];
  await assert.rejects(weir(space.env, 'dlq', 'park', '--reason', 'timeout', ...why), /Say --yes to do it/);
  await assert.rejects(weir(space.env, 'dlq', 'park', ...why, '--yes'), /Say which letters/);
  const parked = JSON.parse(
    await weir(space.env, 'dlq', 'park', '--reason', 'timeout', ...why, '--by', 'bob', '--yes', '--json'),
  ) as DeadLetterChanged;
  assert.equal(parked.letters, countOf('timeout'));
  const stats = await weir(space.env, 'dlq', 'stats', '--status', 'parked');
  assert.match(stats, new RegExp(`^${countOf('timeout')} dead letters`));

  // A purge removes the bytes; the neighbours in the same pack keep theirs. Asked again with its key, it did it once.
  const purge = { selection: { reason: ['late'] }, why: 'no longer wanted', expect: countOf('late') };
  const stale = await tell('purge', { ...purge, expect: 1 });
  assert.deepEqual([stale.status, stale.body.code], [422, 'refused']);
  const key = { 'idempotency-key': randomUUID() };
  const purged = await tell('purge', purge, key);
  assert.equal(purged.body.letters, countOf('late'));
  const again = await tell('purge', purge, key);
  assert.deepEqual(again.body, purged.body);
  assert.equal(again.headers.get('idempotency-replayed'), 'true');
  const other = await tell('purge', { ...purge, why: 'another' }, key);
  assert.equal(other.status, 422);
  await until(
    async () =>
      (
        await one<{ n: string }>(
          space,
          "SELECT count(*) AS n FROM dead_letters WHERE status = 'purged' AND object IS NOT NULL",
        )
      ).n === '0',
    { deadlineMs: 30_000, what: 'the purged bytes to be removed' },
  );
  const store = openStore(space.minio);
  t.after(() => store.close());
  const bucket = deadLetterBucket(space.namespace);
  const left: Buffer[] = [];
  for await (const { key: object } of store.list(bucket, PACK_PREFIX))
    left.push((await store.get(bucket, object)).body);
  const all = Buffer.concat(left);
  for (const { group, bytes } of made) {
    if (group.reason === 'late') assert.ok(!all.includes(bytes), 'bytes of a purged letter');
    else assert.ok(all.includes(bytes), `bytes of a letter with reason ${group.reason}`);
  }
  const gone = made.find(({ group }) => group.reason === 'late') as MadeLetter;
  assert.equal((await ask<DeadLetterDetail>(`/${gone.id}`)).original, null);
  assert.equal((await fetch(`${gateway.url}/api/v1/dead-letters/${gone.id}/bytes`)).status, 404);

  const audit = JSON.parse(await weir(space.env, 'dlq', 'audit', '--json')) as {
    actor: string;
    action: string;
    why: string;
    letters: string[];
  }[];
  assert.deepEqual(
    audit.map((entry) => [entry.actor, entry.action, entry.why, entry.letters.length]),
    [
      ['ada@test', 'dead-letter.purge', 'no longer wanted', countOf('late')],
      ['bob', 'dead-letter.park', 'waits for a new sink', countOf('timeout')],
      ['ada@test', 'dead-letter.edit', 'a wrong firmware', schemas],
    ],
  );
  // Counted every ten seconds: the depth of now has the edited ones, and none of the purged.
  await until(
    async () => {
      const text = await app.metrics();
      assert.match(text, new RegExp(`weir_dlq_depth\\{source="mqtt",reason="schema"[^}]*\\} ${schemas}\\n`));
      assert.doesNotMatch(text, /weir_dlq_depth\{[^}]*reason="late"/);
      return true;
    },
    { deadlineMs: 45_000, what: 'the depth in the metrics', everyMs: 250 },
  );
});
