import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Evaluator, ruleSet } from '@weir/alerts';
import type { RuleOf } from '@weir/config/alert-rules';
import {
  applyTopology,
  type Delivery,
  type OutgoingMessage,
  openConsumer,
  openPublisher,
} from '@weir/connect-rabbitmq';
import { type AlertRow, migrate, openAlertQueries, openDatabase } from '@weir/connect-timescale';
import { createLogger } from '@weir/observe';
import { atEnd, isolated, type Scope, spawnApp, until } from '@weir/testkit';
import { EDGE_KEYS, EXCHANGES, type ReadingClass, TABLES, telemetryKey } from '@weir/topology';
import { DEMO_CONFIG } from './recording.fixture.ts';

const MIGRATIONS = join(import.meta.dirname, '../../../infra/migrations');
const SEEN = 'weir.test.alerts';
export const log = createLogger({ app: 'test', level: 'silent', format: 'json' });

export interface Line {
  readonly device: string;
  readonly ts: number;
  readonly value: number;
}

/** Name of the edge that telemetry comes from. */
const EDGE = 'edge-1';

export function telemetry(
  lines: readonly Line[],
  readingClass: ReadingClass = 'normal',
  metric = 'temperature',
): OutgoingMessage {
  return {
    exchange: EXCHANGES.telemetry.name,
    key: telemetryKey(readingClass, 'plant-1', metric),
    headers: { site: 'plant-1', metric, class: readingClass, count: lines.length, edge: `${EDGE}/spool-1` },
    contentType: 'application/x-ndjson',
    body: Buffer.from(lines.map((line) => `${JSON.stringify({ ...line, at: line.ts })}\n`).join('')),
  };
}

/** What an edge says when everything that arrived up to `at` is on its way. */
export function progress(at: number): OutgoingMessage {
  const said = {
    kind: 'edge-progress',
    edge: `${EDGE}/spool-1`,
    at,
    since: 0,
    hlc: String(at).padStart(16, '0'),
  };
  return {
    exchange: EXCHANGES.events.name,
    key: EDGE_KEYS.progress,
    contentType: 'application/json',
    body: Buffer.from(JSON.stringify(said)),
  };
}

/** Everything a test needs: the servers with the schema, a publisher, and what arrives on weir.alerts. */
export async function bench(t: Scope, rules?: readonly object[]) {
  const space = await isolated(t, { rabbitmq: true, timescale: true });
  await migrate(space.timescaleUrl, MIGRATIONS);
  await applyTopology({ url: space.rabbitmqUrl });
  await applyTopology(
    { url: space.rabbitmqUrl },
    {
      exchanges: [],
      queues: [
        {
          name: SEEN,
          arguments: { 'x-queue-type': 'quorum' },
          bindings: [{ exchange: EXCHANGES.alerts.name, key: '' }],
        },
      ],
    },
  );
  let config = DEMO_CONFIG;
  if (rules !== undefined) {
    config = join(space.folder, 'weir.yaml');
    writeFileSync(config, JSON.stringify({ alerter: { rules } }));
  }
  const publisher = openPublisher({ url: space.rabbitmqUrl, log });
  const database = openDatabase({ url: space.timescaleUrl, log });
  const messages: { id: string; headers: Delivery['headers']; alert: Record<string, unknown> }[] = [];
  const listener = openConsumer({
    url: space.rabbitmqUrl,
    queue: SEEN,
    prefetch: 100,
    log,
    handler: async ({ messageId = '', headers, body }) => {
      messages.push({ id: messageId, headers, alert: JSON.parse(body.toString()) });
      return 'ack';
    },
  });
  listener.start();
  atEnd(t, async () => {
    await Promise.all([listener.stop(), publisher.close(), database.close()]);
  });
  const env = { ...space.env, WEIR_CONFIG: config };
  return {
    space,
    database,
    env,
    messages,
    start: (more: Record<string, string> = {}) => spawnApp(t, 'alerter', { ...env, ...more }),
    publish: async (batch: readonly OutgoingMessage[]) => {
      assert.equal((await publisher.publish(batch)).size, 0);
    },
    rows: async (): Promise<readonly AlertRow[]> => {
      const rows = await openAlertQueries(database).listAlerts({ limit: 1_000 });
      return rows.toSorted((a, b) => a.startedAt.getTime() - b.startedAt.getTime() || (a.id < b.id ? -1 : 1));
    },
    /**
     * Until the newest reading of `device` that a rule has evaluated and stored is that of `ts`: it is its first one, or one
     * that changes an alert.
     */
    evaluated: (device: string, ts: number) =>
      until(
        async () => {
          const [row] = await database.query<{ last: string }>(
            'reading the state of a rule',
            `SELECT max(last_ts_ms)::text AS last FROM ${TABLES.alertRuleState} WHERE device = $1`,
            [device],
          );
          return Number(row?.last) >= ts;
        },
        { deadlineMs: 60_000, what: `the readings of ${device} to be evaluated` },
      ),
  };
}

interface Input {
  readonly messages: Line[][];
  /** Each reading once, in its order. */
  readonly clean: Line[];
}

/** Readings of devices, a second apart, with repeats and old ones among them. */
function readingsOf(
  devices: readonly string[],
  steps: number,
  value: (d: number, step: number) => number,
): Input {
  const begin = Date.parse('2026-02-01T00:00:00Z');
  const clean: Line[] = [];
  const messages: Line[][] = [];
  for (let step = 0; step < steps; step++) {
    const lines = devices.map((device, d) => ({ device, ts: begin + step * 1_000, value: value(d, step) }));
    clean.push(...lines);
    messages.push(lines);
    if (step % 10 === 9) messages.push(lines, messages[messages.length - 5] ?? lines);
  }
  return { messages, clean };
}
const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, d) => `${prefix}-${d}`);

/** Readings whose alerts differ from device to device and change every few seconds. */
export const troubled = (devices: number, steps: number): Input =>
  readingsOf(names('d', devices), steps, (d, step) => ((step + d * 7) % (20 + d) < 9 ? 90 : 20));

/** Readings that stay hot, then between the limits of `hot`, then cold for so long that nothing has to be stored. */
export const slow = (devices: number, steps: number): Input =>
  readingsOf(names('slow', devices), steps, (d, step) => {
    const part = ((step + d * 13) % (110 + d)) / (110 + d);
    return part < 0.4 ? 90 : part < 0.6 ? 60 : 20;
  });

/** A first reading, that changes no alert; the queue keeps the order, so what was published before it is done when it is. */
export const last = telemetry([{ device: 'last', ts: 1, value: 0 }]);

/** Alerts by the pure rules from the readings of each metric in one piece. */
export function expectedAlerts(
  rules: readonly RuleOf<'threshold' | 'rate'>[],
  metrics: Readonly<Record<string, readonly Line[]>>,
) {
  const evaluator = new Evaluator(ruleSet(rules), new Map());
  for (const [metric, readings] of Object.entries(metrics))
    evaluator.readings({ site: 'plant-1', metric, readings });
  return evaluator.changes
    .filter(({ state }) => state !== 'vanished')
    .map(({ id, series, state, startedAt, firedAt, resolvedAt }) => ({
      ...{
        id,
        rule: series.rule,
        state,
        startedAt,
        firedAt: firedAt ?? null,
        resolvedAt: resolvedAt ?? null,
      },
    }))
    .toSorted((a, b) => a.startedAt - b.startedAt || (a.id < b.id ? -1 : 1));
}

export const hot = {
  id: 'hot',
  metric: 'temperature',
  above: 80,
  clear: 50,
  hold: '5s',
  severity: 'warning',
};
export const hotRule: RuleOf<'threshold'> = {
  ...{ ...hot, kind: 'threshold', site: '*', device: '*', hold: 5_000, severity: 'warning', labels: {} },
};

export const climb = { id: 'climb', kind: 'rate', metric: 'level', above: 40, over: '32s', per: '1m' };
export const climbRule: RuleOf<'rate'> = {
  ...{ ...climb, kind: 'rate', site: '*', device: '*', over: 32_000, per: 60_000, hold: 0 },
  ...{ severity: 'warning', labels: {} },
};
