import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLogger } from '@weir/observe';
import { atEnd, isolated } from '@weir/testkit';
import { LEVELS } from '@weir/topology';
import { claimPartition, migrate, openDatabase, WindowRows, writeLevel } from './index.ts';

const MIGRATIONS = join(import.meta.dirname, '../../../infra/migrations');
const log = createLogger({ app: 'test', level: 'error', format: 'json' });

const pane = (start: number) => ({
  ...{ start, count: 1, sum: 1, min: 1, max: 1, m2: 0, first: 1, firstTs: start, last: 1, lastTs: start },
  sketch: null,
});

test('rows bear their form; a writer of an older one cannot claim, and one before its migration waits', async (t) => {
  const { timescaleUrl } = await isolated(t, { timescale: true });
  await migrate(timescaleUrl, MIGRATIONS);
  const database = openDatabase({ url: timescaleUrl, log });
  atEnd(t, () => database.close());
  await claimPartition(database, 't', 0, 'now');
  const write = (from: number): Promise<void> =>
    database.transaction('writing', async (transaction) => {
      const added = new WindowRows(0);
      const changed = new WindowRows(0);
      added.add(1, pane(from));
      changed.add(1, pane(0));
      await writeLevel(transaction, 0, [added], [changed]);
    });
  await write(1_000);
  await write(2_000);
  const { table } = LEVELS[0];
  const versions = () =>
    database.query<{ v: number; revision: number }>(
      'reading versions',
      `SELECT schema_version AS v, revision FROM ${table} ORDER BY ts`,
    );
  // As a later migration will do it.
  await database.query('raising', `ALTER TABLE ${table} ALTER COLUMN schema_version SET DEFAULT 2`);
  assert.deepEqual(
    (await versions()).map(({ v }) => v),
    [1, 1, 1],
  );
  await write(3_000);
  assert.deepEqual(await versions(), [
    { v: 2, revision: 2 },
    { v: 1, revision: 0 },
    { v: 1, revision: 0 },
    { v: 2, revision: 0 },
  ]);
  await assert.rejects(claimPartition(database, 't', 0, 'old'), { code: 'WEIR_STATE', retry: 'fatal' });
  const [row] = await database.query<{ owner: string }>('reading', 'SELECT owner FROM partition_offsets');
  assert.equal(row?.owner, 'now');
  await database.query('as before', `ALTER TABLE ${table} DROP COLUMN schema_version`);
  await assert.rejects(claimPartition(database, 't', 0, 'new'), { retry: 'transient' });
});
