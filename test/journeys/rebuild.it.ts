import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atEnd, type Isolated, type Scope, until } from '@weir/testkit';
import pg from 'pg';
import { auditWindows } from '../support/audit.ts';
import { ScriptedDevice } from '../support/device.ts';
import { startPipeline, startWeir } from '../support/pipeline.ts';
import { prove, wrongs } from '../support/proof.ts';
import { Traffic } from '../support/traffic.ts';

const HOUR_MS = 3_600_000;
/** Marks rows of before: nothing in Weir writes a revision like it. */
const MARK = -77;

async function connect(scope: Scope, space: Isolated): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: space.timescaleUrl });
  await client.connect();
  atEnd(scope, () => client.end());
  return client;
}

/** Deletes, changes and marks rows of several levels. */
async function mangle(client: pg.Client): Promise<void> {
  await client.query('DELETE FROM windows_1s WHERE series_id % 3 = 0');
  for (const table of ['windows_1s', 'windows_10s', 'windows_1m', 'windows_1h'])
    await client.query(`UPDATE ${table} SET sum = sum * 2, sketch = NULL, revision = ${MARK}`);
  await client.query('UPDATE rollups_10s SET count = count + 1');
  await client.query(`UPDATE devices SET late = 4711`);
}

const marked = `SELECT (SELECT count(*)::int FROM windows_1s WHERE revision = ${MARK}) AS panes,
  (SELECT count(*)::int FROM windows_10s WHERE revision = ${MARK}) AS tens`;
const schemas = `SELECT nspname AS name FROM pg_namespace WHERE nspname LIKE 'weir\\_scratch%'`;

test('a rebuild under traffic gives back every row, swapped in at once, one rebuild at a time', {
  timeout: 600_000,
}, async (t) => {
  const { space, mqttPort } = await startPipeline(t);
  const client = await connect(t, space);
  const traffic = new Traffic(t, { mqttPort, devices: 20, hertz: 10 });
  await traffic.start();
  await until(() => traffic.acknowledged > 3_000, { deadlineMs: 90_000, what: '3,000 readings' });
  await mangle(client);

  // Somebody reads two tables in one statement, all the time.
  const reader = await connect(t, space);
  let reading = true;
  const mixes: unknown[] = [];
  const reads = (async () => {
    for (let n = 0; reading || n === 0; n++) {
      const { rows } = await reader.query<{ panes: number; tens: number }>(marked);
      if (rows[0] !== undefined && rows[0].panes > 0 !== rows[0].tens > 0) mixes.push(rows[0]);
    }
  })();
  // A reader in a transaction of its own keeps the first from its swap until the second was refused.
  const holder = await connect(t, space);
  await holder.query('BEGIN');
  await holder.query('SELECT FROM windows_1s LIMIT 1');
  const first = startWeir(space.env, 'rebuild', '--yes', '--json');
  await until(async () => (await client.query(schemas)).rowCount === 1, {
    deadlineMs: 30_000,
    what: 'the rebuild to begin',
    everyMs: 20,
  });
  await assert.rejects(
    startWeir(space.env, 'rebuild', '--yes'),
    (error: { code?: number; stderr?: string }) =>
      error.code === 1 && /another rebuild is under way/.test(error.stderr ?? ''),
  );
  await holder.query('COMMIT');
  const report = JSON.parse((await first).stdout) as { heldMs: number; seconds: number };
  const { rows: after } = await client.query<{ panes: number; tens: number }>(marked);
  assert.deepEqual(after, [{ panes: 0, tens: 0 }]);
  reading = false;
  await reads;
  assert.deepEqual(mixes, [], 'a statement sees old rows or new ones');
  assert.equal((await client.query(schemas)).rowCount, 0);
  t.diagnostic(
    `the rebuild took ${report.seconds.toFixed(1)} s and held writers for ${report.heldMs.toFixed(0)} ms`,
  );

  const live = await prove(space.env);
  assert.deepEqual([live.code, wrongs(live)], [0, {}], 'while readings arrive');
  await traffic.stop();
  await traffic.settled();
  await auditWindows(space, traffic.known, 60_000);
  const settled = await prove(space.env);
  assert.deepEqual([settled.code, wrongs(settled)], [0, {}]);
  const { rows: devices } = await client.query<{ late: string }>('SELECT DISTINCT late FROM devices');
  assert.deepEqual(devices, [{ late: '0' }]);
});

test('a rebuild that is killed leaves the old rows or the new ones, and the next one tidies up', {
  timeout: 600_000,
}, async (t) => {
  const { space, mqttPort } = await startPipeline(t);
  const client = await connect(t, space);
  const traffic = new Traffic(t, { mqttPort, devices: 10, hertz: 10 });
  await traffic.start();
  await until(() => traffic.acknowledged > 1_000, { deadlineMs: 60_000, what: '1,000 readings' });
  await mangle(client);
  const activity = async (query: string): Promise<boolean> =>
    (
      await client.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'weir %' AND ${query}`,
      )
    ).rowCount !== 0;
  const next = async (): Promise<number> => {
    const { rows } = await client.query<{ n: string }>('SELECT sum(next_offset) AS n FROM partition_offsets');
    return Number(rows[0]?.n);
  };
  const killWhen = async (what: string, reached: () => Promise<boolean>): Promise<void> => {
    const running = startWeir(space.env, 'rebuild', '--yes');
    const ended = running.catch(() => undefined);
    await until(async () => running.child.exitCode !== null || (await reached()), {
      deadlineMs: 60_000,
      what,
      everyMs: 2,
    });
    assert.equal(running.child.exitCode, null, `the rebuild ended before: ${what}`);
    running.child.kill('SIGKILL');
    await ended;
  };
  const goesOn = async (): Promise<void> => {
    const before = await next();
    await until(async () => (await next()) > before + 20, {
      deadlineMs: 60_000,
      what: 'the pipeline to go on',
    });
  };

  // Asked to end, it tidies up by itself.
  const asked = startWeir(space.env, 'rebuild', '--yes');
  const ended = assert.rejects(asked, (error: { code?: number }) => error.code === 130);
  await until(() => activity(`query LIKE 'COPY windows%'`), {
    deadlineMs: 60_000,
    what: 'the fold',
    everyMs: 2,
  });
  asked.child.kill('SIGINT');
  await ended;
  assert.equal((await client.query(schemas)).rowCount, 0);

  // While it folds.
  await killWhen('tables of the fold', async () => activity(`query LIKE 'COPY windows%'`));
  assert.ok(((await client.query(marked)).rows[0] as { panes: number }).panes > 0, 'the old rows stay');
  await goesOn();

  // In the transaction of the swap, while a reader makes it wait for a table; owners of partitions wait behind it.
  const holder = await connect(t, space);
  await holder.query('BEGIN; SELECT FROM windows_1h LIMIT 1');
  await killWhen('the lock of the swap', () =>
    activity(`application_name = 'weir swap' AND wait_event_type = 'Lock' AND query LIKE 'LOCK TABLE ONLY%'`),
  );
  await holder.query('COMMIT');
  assert.ok(((await client.query(marked)).rows[0] as { panes: number }).panes > 0, 'the old rows stay');
  await goesOn();

  // After the swap, before the old tables are gone: somebody still reads one of their chunks.
  const { rows: chunks } = await client.query<{ name: string }>(
    `SELECT format('%I.%I', chunk_schema, chunk_name) AS name FROM timescaledb_information.chunks
      WHERE hypertable_schema = 'public' AND hypertable_name = 'windows_1s' LIMIT 1`,
  );
  await holder.query(`BEGIN; LOCK TABLE ${chunks[0]?.name} IN ACCESS SHARE MODE`);
  await killWhen('the removal of the old tables', () =>
    activity(`wait_event_type = 'Lock' AND query LIKE 'DROP TABLE%'`),
  );
  await holder.query('COMMIT');
  const { rows: swapped } = await client.query(marked);
  assert.deepEqual(swapped, [{ panes: 0, tens: 0 }], 'the new rows are in place');
  await goesOn();

  const proof = await prove(space.env);
  assert.deepEqual([proof.code, wrongs(proof)], [0, {}]);
  await until(
    async () => (await client.query(schemas)).rowCount === 0 || (await prove(space.env)).code !== 0,
    {
      deadlineMs: 60_000,
      what: 'no scratch schema to be left',
    },
  );
  assert.equal((await client.query(schemas)).rowCount, 0);
});

test('what retention has dropped is neither missing nor brought back', { timeout: 600_000 }, async (t) => {
  const { space, mqttPort } = await startPipeline(t, {
    env: { WEIR_RETENTION__INTERVAL: '1s', WEIR_EDGE__MAX_FUTURE: '15m' },
  });
  const client = await connect(t, space);
  // A device that was offline for hours, and delivers what it kept; others are of now.
  const old = new ScriptedDevice(t, { port: mqttPort, id: 'logger', qos: 1, window: 20 });
  await old.start();
  const began = Date.now() - 8 * HOUR_MS;
  for (let seq = 0; seq < 4 * 60; seq++) {
    const payload = JSON.stringify({ ts: began + seq * 60_000, seq, value: seq / 7 });
    old.send({ topic: 'telemetry/v1/plant-1/logger/level', payload });
  }
  await old.settled();
  const traffic = new Traffic(t, { mqttPort, devices: 4, hertz: 5 });
  await traffic.start();
  const dropped = async (): Promise<number> => {
    const { rows } = await client.query<{ n: string }>('SELECT sum(dropped_chunks) AS n FROM retention');
    return Number(rows[0]?.n ?? 0);
  };
  await until(async () => (await dropped()) >= 4, { deadlineMs: 90_000, what: 'chunks to expire' });
  const before = await prove(space.env);
  assert.deepEqual([before.code, wrongs(before)], [0, {}]);
  const expired = before.levels[0]?.tally.expired ?? 0;
  assert.ok(expired >= 200, `${expired} panes expired`);
  const rows = async (): Promise<number[]> => {
    const counts: number[] = [];
    for (const table of ['windows_1s', 'windows_10s', 'windows_1m', 'windows_1h']) {
      const { rows: found } = await client.query<{ n: string }>(
        `SELECT count(*) AS n FROM ${table} JOIN series USING (series_id) WHERE device = 'logger'`,
      );
      counts.push(Number(found[0]?.n));
    }
    return counts;
  };
  const kept = await rows();
  await mangle(client);
  await startWeir(space.env, 'rebuild', '--yes');
  assert.deepEqual(await rows(), kept);
  const after = await prove(space.env);
  assert.deepEqual([after.code, wrongs(after)], [0, {}]);
  assert.ok((after.levels[0]?.tally.expired ?? 0) >= expired);

  // It goes on where it stopped, with the windows that outlived their chunks.
  const resumed = { ts: began + 4 * HOUR_MS + 500, seq: 4 * 60, value: 3 };
  old.send({ topic: 'telemetry/v1/plant-1/logger/level', payload: JSON.stringify(resumed) });
  await old.settled();
  await traffic.stop();
  await traffic.settled();
  await until(
    async () => {
      const { rows: found } = await client.query<{ n: string }>(
        `SELECT sum(count) AS n FROM windows_1h JOIN series USING (series_id) WHERE device = 'logger'`,
      );
      return Number(found[0]?.n) === 4 * 60 + 1;
    },
    { deadlineMs: 60_000, what: 'the hours of the logger' },
  );
  const last = await prove(space.env);
  assert.deepEqual([last.code, wrongs(last)], [0, {}]);
});
