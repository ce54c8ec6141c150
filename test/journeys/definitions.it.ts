import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { atEnd, type Scope, until, withDatabase } from '@weir/testkit';
import { startPipeline, weir } from '../support/pipeline.ts';

const DEVICES = Array.from({ length: 8 }, (_, i) => ({ site: `plant-${i % 2}`, device: `pump-${i}` }));
const MESSAGES = 40;
/** Two metrics and one that follows from them. */
const READINGS = DEVICES.length * MESSAGES * 3;

function configFile(scope: Scope, config: unknown): string {
  const folder = mkdtempSync(join(tmpdir(), 'weir-definitions-'));
  atEnd(scope, async () => rmSync(folder, { recursive: true }));
  const file = join(folder, 'weir.yaml');
  writeFileSync(file, JSON.stringify(config));
  return file;
}

const watts = {
  devices: [{ match: '*/pump-*', tags: { line: 'a' } }],
  rollups: { by: ['fleet', 'site', 'line'] },
  derived: [{ metric: 'power', expression: 'voltage * current', unit: 'W' }],
};
const kilowatts = {
  devices: [{ match: 'plant-1/*', tags: { line: 'b' } }],
  rollups: { by: ['fleet', 'line'] },
  derived: [{ metric: 'power', expression: 'voltage * current / 1000', unit: 'kW' }],
};

test('definitions change under a running pipeline: an audit knows what held when, a rebuild makes them hold for all', {
  timeout: 600_000,
}, async (t) => {
  const { space, apps, edgeUrl } = await startPipeline(t, { env: { WEIR_CONFIG: configFile(t, watts) } });
  const start = Math.floor(Date.now() / 60_000) * 60_000 - 240_000;
  let sent = 0;
  const send = async (): Promise<void> => {
    for (const { site, device } of DEVICES) {
      const messages = Array.from({ length: MESSAGES }, (_, i) => ({
        ts: start + (sent * MESSAGES + i) * 1_000,
        seq: sent * MESSAGES + i,
        values: { voltage: 200, current: 5 },
      }));
      const answer = await fetch(`${edgeUrl}/ingest/v1/${site}/${device}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(messages),
      });
      assert.equal(answer.status, 202, await answer.text());
    }
    sent++;
    await until(
      async () =>
        (await ask<{ n: number }>('SELECT coalesce(sum(count), 0)::int AS n FROM windows_1s'))[0]?.n ===
        sent * READINGS,
      {
        deadlineMs: 30_000,
        what: `${sent * READINGS} readings in the windows`,
        everyMs: 100,
      },
    );
  };
  const ask = <R>(sql: string): Promise<R[]> =>
    withDatabase(space.timescaleUrl, async (client) => (await client.query(sql)).rows as R[]);
  /** Value of the derived metric and how many seconds had it. */
  const powers = async (): Promise<unknown> =>
    (
      await ask<{ value: number; n: number }>(
        `SELECT max AS value, count(*)::int AS n FROM windows_1s JOIN series USING (series_id)
          WHERE metric = 'power' GROUP BY max ORDER BY max`,
      )
    ).map(({ value, n }) => [value, n]);
  /** Readings in the roll-ups of each group at 10 s. */
  const rolledUp = async (metric: string): Promise<unknown> =>
    (
      await ask<{ name: string; n: number }>(
        `SELECT name, sum(count)::int AS n FROM rollups_10s JOIN rollups r USING (rollup_id)
          JOIN rollup_scopes USING (partition, definition) WHERE metric = '${metric}' GROUP BY name ORDER BY name`,
      )
    ).map(({ name, n }) => [name, n]);
  const each = DEVICES.length * MESSAGES;

  await send();
  await apps.aggregator.stop();
  const later = { ...space.env, WEIR_CONFIG: configFile(t, kilowatts) };
  await apps.aggregator.restart({ WEIR_CONFIG: later.WEIR_CONFIG });
  await send();
  assert.deepEqual(await powers(), [
    [1, each],
    [1_000, each],
  ]);
  // The audit ends with 1 when anything differs.
  await weir(later, 'audit');

  await weir(later, 'rebuild', '--yes');
  assert.deepEqual(await powers(), [[1, 2 * each]]);
  assert.deepEqual(await rolledUp('power'), [
    ['fleet', 2 * each],
    ['line=b', each],
  ]);
  await weir(later, 'audit');

  await send();
  assert.deepEqual(await powers(), [[1, 3 * each]]);
  await until(
    async () =>
      JSON.stringify(await rolledUp('voltage')) ===
      JSON.stringify([
        ['fleet', 3 * each],
        ['line=b', (3 * each) / 2],
      ]),
    {
      deadlineMs: 20_000,
      what: 'roll-ups of silent devices',
      everyMs: 200,
    },
  );
  await weir(later, 'audit');
});
