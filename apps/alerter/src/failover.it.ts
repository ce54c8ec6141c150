import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { freeOffset, type SpawnedApp, until } from '@weir/testkit';
import { TABLES } from '@weir/topology';
import { bench, expectedAlerts, hot, hotRule, last, telemetry, troubled } from './alerter.fixture.ts';

/** What is promised. */
const FAILOVER_MS = 10_000;

test('of two alerters one acts; kill -9 and SIGSTOP lose and double nothing', async (t) => {
  const acts = async (app: SpawnedApp): Promise<boolean> =>
    /^weir_alerter_active\{app="alerter"\} 1$/m.test(await app.metrics());
  const { start, publish, rows, database, evaluated: isEvaluated, messages } = await bench(t, [hot]);
  const first = await start({ WEIR_ALERTER__PREFETCH: '5' });
  await until(() => acts(first), { deadlineMs: 20_000, what: 'the first one to act' });
  const offset = String(await freeOffset(t));
  const second = await start({ WEIR_ALERTER__PREFETCH: '5', WEIR_PORTS__OFFSET: offset });
  assert.deepEqual([await acts(first), await acts(second)], [true, false]);

  const input = troubled(10, 240);
  const batches = input.messages.map((lines) => telemetry(lines));
  const third = Math.ceil(batches.length / 3);
  let stream = Promise.resolve();
  /** Publishes a third of the messages over some 3 s. */
  const begin = (part: number): void => {
    stream = (async () => {
      for (const batch of batches.slice(part * third, (part + 1) * third)) {
        await publish([batch]);
        await delay(30);
      }
    })();
  };
  const newest = async (): Promise<number> => {
    const [row] = await database.query<{ last: string | null }>(
      'reading how far the rules are',
      `SELECT max(last_ts_ms)::text AS last FROM ${TABLES.alertRuleState}`,
    );
    return Number(row?.last ?? 0);
  };
  /** Until the other one acts and has evaluated something. */
  const failover = async (active: SpawnedApp, standby: SpawnedApp, signal: NodeJS.Signals): Promise<void> => {
    await active.kill(signal);
    const signalled = performance.now();
    // Of what is published meanwhile the standby may have evaluated all by the time that it is seen to act.
    const before = await newest();
    await until(() => acts(standby), { deadlineMs: 30_000, what: 'the standby to act', everyMs: 50 });
    const took = performance.now() - signalled;
    assert.ok(took < FAILOVER_MS, `${signal}: the standby acts after ${Math.round(took)} ms`);
    await until(async () => (await newest()) > before, {
      deadlineMs: 30_000,
      what: 'the standby to evaluate',
      everyMs: 50,
    });
    const evaluated = Math.round(performance.now() - signalled);
    t.diagnostic(
      `${signal}: the standby acts after ${Math.round(took)} ms, and has evaluated after ${evaluated} ms`,
    );
  };
  const midway = (): Promise<unknown> => {
    const seen = messages.length;
    return until(() => messages.length > seen, { deadlineMs: 30_000, what: 'alerts', everyMs: 5 });
  };

  begin(0);
  await midway();
  await failover(first, second, 'SIGKILL');
  await stream;
  await first.restart();
  assert.deepEqual([await acts(first), await acts(second)], [false, true]);

  begin(1);
  await midway();
  await failover(second, first, 'SIGSTOP');
  await stream;
  begin(2);
  await midway();
  await second.kill('SIGCONT');
  await until(async () => !(await acts(second)), { deadlineMs: 15_000, what: 'the paused one to stand by' });
  assert.equal(await acts(first), true);
  await stream;
  await publish([last]);
  await isEvaluated('last', 1);

  const stored = (await rows()).map(({ id, rule, state, startedAt, firedAt, resolvedAt }) => ({
    ...{ id, rule, state, startedAt: startedAt.getTime() },
    firedAt: firedAt?.getTime() ?? null,
    resolvedAt: resolvedAt?.getTime() ?? null,
  }));
  const expected = expectedAlerts([hotRule], { temperature: input.clean });
  assert.deepEqual(stored, expected);
  const wanted = expected.flatMap(({ id, state }) => [
    ...(state === 'pending' ? [] : [`${id}/firing`]),
    ...(state === 'resolved' ? [`${id}/resolved`] : []),
  ]);
  const told = await database.query<{ id: string }>(
    'reading what is told',
    `SELECT alert_id || '/' || state AS id FROM ${TABLES.alertTransitions}`,
  );
  assert.deepEqual(told.map(({ id }) => id).toSorted(), wanted.toSorted(), 'each change is told once');
  await until(() => new Set(messages.map(({ id }) => id)).size >= wanted.length, {
    deadlineMs: 20_000,
    what: 'every message on weir.alerts',
  });
  assert.deepEqual([...new Set(messages.map(({ id }) => id))].toSorted(), wanted.toSorted());
});
