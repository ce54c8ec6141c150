import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isolated, withDatabase } from '@weir/testkit';
import { LEVELS, ROLLUP_LEVELS } from '@weir/topology';
import { weir, withEnvironment } from './terminal.fixture.ts';

test('retention: the status tells what is stored, expired and due, and who runs the job', async (t) => {
  const { env, folder, timescaleUrl } = await isolated(t, { timescale: true });
  withEnvironment(t, { ...env, WEIR_DATA_DIR: folder });
  await weir('topology', 'apply'); // Only the database's part can succeed here, and only that is needed.
  await withDatabase(timescaleUrl, async (client) => {
    for (const hour of [1, 2, 3]) {
      await client.query(
        `INSERT INTO ${LEVELS[0].table} (series_id, ts, first_ts, last_ts, sum, min, max, m2, first, last, count)
         SELECT 1, t, t, t, 1, 1, 1, 0, 1, 1, 1 FROM (SELECT date_trunc('hour', now()) - make_interval(hours => $1) AS t)`,
        [hour],
      );
    }
    await client.query(
      `INSERT INTO retention (table_name, expired_before, changed_at) VALUES ($1, '2026-01-01T00:00:00Z', now())`,
      [LEVELS[0].table],
    );
    await client.query(
      `INSERT INTO maintenance (job, token, holder, held_since) VALUES ('retention', 1, 'here/1', '2026-01-01T00:00:00Z')`,
    );
  });
  const said = await weir('retention', 'status', '--json');
  assert.equal(said.code, 0, said.err);
  const { job, tables } = JSON.parse(said.out) as {
    job: { holder: string; succeededAt: string | null };
    tables: { table: string; keepMs: number; chunks: number; due: number; expiredBefore: string | null }[];
  };
  assert.deepEqual([job.holder, job.succeededAt], ['here/1', null]);
  assert.equal(tables.length, LEVELS.length + ROLLUP_LEVELS.length);
  const [panes] = tables;
  // The newest chunk ended within this hour: of the others all but the one that ended an hour before it are due.
  assert.deepEqual(
    [panes?.table, panes?.keepMs, panes?.chunks, panes?.due, panes?.expiredBefore],
    [LEVELS[0].table, 3_600_000, 3, 2, '2026-01-01T00:00:00.000Z'],
  );
  const text = await weir('retention', 'status');
  assert.match(text.out, /windows_1h +1825 d/);
  assert.match(text.out, /here\/1 runs the job since .*; last finished never/);
});
