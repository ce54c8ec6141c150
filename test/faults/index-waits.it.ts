import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openStore } from '@weir/connect-minio';
import { openDatabase } from '@weir/connect-timescale';
import { countLetters, fullLetters, openBytes } from '@weir/dead-letters';
import { createLogger } from '@weir/observe';
import { atEnd, type CutProxy, cutProxy, isolated, type Scope, spawnApp, until } from '@weir/testkit';
import { LetterWriter } from '../support/letters.ts';
import { weir } from '../support/pipeline.ts';

const log = createLogger({ app: 'test', level: 'error', format: 'json' });
const COUNTS = { payloads: 30, lines: 10, late: 0, messages: 30 };
const EACH = 70;

async function through(scope: Scope, address: string): Promise<{ proxy: CutProxy; url: string }> {
  const url = new URL(address);
  const proxy = await cutProxy(scope, { host: url.hostname, port: Number(url.port) });
  url.port = String(proxy.port);
  return { proxy, url: url.href.replace(/\/$/, '') };
}

test('without the object store, and without the database, letters wait where they are, and none is lost', {
  timeout: 600_000,
}, async (t) => {
  const space = await isolated(t);
  await weir(space.env, 'topology', 'apply');
  const minio = await through(t, space.minio.url);
  const timescale = await through(t, space.timescaleUrl);
  const app = await spawnApp(t, 'dead-letters', {
    ...space.env,
    ...{ WEIR_MINIO__URL: minio.url, WEIR_TIMESCALE__URL: timescale.url },
  });
  const database = openDatabase({ url: space.timescaleUrl, log, poolSize: 2 });
  const store = openStore(space.minio);
  atEnd(t, async () => {
    store.close();
    await database.close();
  });
  const writer = new LetterWriter(t, space);
  const ready = async (): Promise<string> => {
    const response = await fetch(`${app.url}/readyz`);
    return response.ok ? 'ready' : response.text();
  };
  const buried = new Map<string, Buffer>();
  let expected = 0;
  for (const [what, { proxy }, says, missing] of [
    [
      'the object store',
      minio,
      /storing the bytes of dead letters waits for the object store: .+/,
      /object store/,
    ],
    ['the database', timescale, /(looking up|indexing) dead letters waits for the database: .+/, /database/],
  ] as const) {
    proxy.refuse();
    const { messages } = await writer.bury(`plant-${expected}`, COUNTS);
    for (const [id, body] of messages) buried.set(id, body);
    await until(() => app.logs.some((line) => says.test(line)), {
      deadlineMs: 30_000,
      what: `a sentence about ${what}`,
    });
    const unready = await until(
      async () => {
        const said = await ready();
        return missing.test(said) && said;
      },
      { deadlineMs: 15_000, what: `readyz to name ${what}` },
    );
    assert.match(unready, /"ready":false/);
    assert.equal(await countLetters(database, {}), expected, `no row without ${what}`);
    proxy.admit();
    expected += EACH;
    await until(async () => (await countLetters(database, {})) === expected, {
      deadlineMs: 60_000,
      what: `${expected} letters in the index`,
    });
    await until(async () => (await ready()) === 'ready', {
      deadlineMs: 30_000,
      what: 'it to be ready again',
    });
  }
  const { code } = await app.stop();
  assert.equal(code, 0);
  // Every letter once, with bytes that can be read.
  assert.equal(await countLetters(database, {}), expected);
  const letters = await fullLetters(database, {}, { order: 'oldest', limit: expected });
  const bytes = await openBytes(database, store, space.namespace).original(letters);
  assert.equal(bytes.size, expected);
  for (const [id, body] of buried) assert.deepEqual(bytes.get(id), body);
});
