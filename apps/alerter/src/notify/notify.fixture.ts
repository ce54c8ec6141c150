import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Alert } from '@weir/api';
import { loadConfig } from '@weir/config';
import type { Publisher } from '@weir/connect-rabbitmq';
import { acquireLease, appendTransitions, fenced, migrate, openDatabase } from '@weir/connect-timescale';
import { createLogger, Metrics } from '@weir/observe';
import { atEnd, CHECKOUT, isolated, type Scope } from '@weir/testkit';
import { NotifyEvents } from './events.ts';
import { openNotifications } from './notifications.ts';
import { openLanes } from './open-lanes.ts';
import { readQuiet } from './read-quiet.ts';
import { testAlert } from './test-alert.ts';

const log = createLogger({ app: 'test', level: 'silent', format: 'json' });
/** What is published on weir.alerts is another test's matter. */
const nobody: Publisher = {
  publish: async () => new Map(),
  close: async () => {},
} as unknown as Publisher;

export interface Received {
  readonly id: string;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: the tests look at any part of it
  readonly body: any;
  /** Epoch milliseconds. */
  readonly at: number;
}

/** A real HTTP server that keeps what it gets and answers as it is told; 204 by default. */
export async function receiver(t: Scope) {
  const received: Received[] = [];
  let answer: (response: ServerResponse, call: number) => void = (response) =>
    void response.writeHead(204).end();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString();
      const id = String(request.headers['webhook-id']);
      received.push({ id, headers: request.headers, text, body: JSON.parse(text), at: Date.now() });
      answer(response, received.length);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(t, () => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received,
    answering: (next: typeof answer) => {
      answer = next;
    },
  };
}

/** Notifications on a real database, beside which a test changes alerts as the engine does. */
export async function notifyBench(t: Scope, notifiers: readonly object[], more: object = {}) {
  const space = await isolated(t, { timescale: true });
  await migrate(space.timescaleUrl, join(CHECKOUT, 'infra', 'migrations'));
  const database = openDatabase({ url: space.timescaleUrl, log });
  const file = join(space.folder, 'weir.yaml');
  writeFileSync(file, JSON.stringify({ alerter: { notifiers, ...more } }));
  const { alerter } = loadConfig({ file, env: {} });
  const metrics = new Metrics('test');
  const events = new NotifyEvents(log, metrics);

  /** Takes the place of the active process, as an alerter that starts. */
  const start = async () => {
    const lease = (await acquireLease(space.timescaleUrl, 'alerter', 'test')) ?? assertLease();
    const lanes = openLanes(alerter, nobody);
    const ended = new AbortController();
    const failures: unknown[] = [];
    const notifications = openNotifications({
      lanes,
      transaction: (doing, work) => fenced(database, lease, doing, work),
      database,
      reload: (sql) => readQuiet(sql, alerter.maintenance, events),
      events,
      ended: ended.signal,
      fatal: (doing, error) => void failures.push(new Error(doing, { cause: error })),
    });
    let stopped: Promise<void> | undefined;
    const stop = (): Promise<void> => {
      stopped ??= (async () => {
        ended.abort();
        await notifications.stop();
        await Promise.all(lanes.map(({ lane }) => lane.destination.close()));
        await lease.release();
        if (failures.length > 0) throw failures[0];
      })();
      return stopped;
    };
    atEnd(t, stop);
    await notifications.ready;
    return { notify: notifications.notify, stop };
  };
  atEnd(t, () => database.close());

  /** A firing alert, and each change after it, in a transaction of its own. */
  const alertOf = (given: Partial<Alert> = {}) => {
    const [told] = testAlert(randomUUID()).alerts;
    let alert: Alert = {
      ...(told as { alert: Alert }).alert,
      site: 'plant-1',
      device: 'pump-7',
      rule: 'hot',
      ...given,
    };
    const change = async (changed: Partial<Alert>, suppressed = false): Promise<void> => {
      alert = { ...alert, ...changed };
      await database.transaction('changing an alert', async (sql) => {
        await sql.query(
          'storing an alert',
          `INSERT INTO alerts (id, rule, kind, site, device, metric, severity, state, value, threshold, started_at,
                               fired_at, acknowledged_at, acknowledged_by, resolved_at, updated_at, announced)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, true)
           ON CONFLICT (id) DO UPDATE
              SET state = excluded.state, resolved_at = excluded.resolved_at,
                  acknowledged_at = excluded.acknowledged_at, acknowledged_by = excluded.acknowledged_by`,
          [
            ...[alert.id, alert.rule, alert.kind, alert.site, alert.device, alert.metric, alert.severity],
            ...[alert.state, alert.value, alert.threshold, alert.startedAt, alert.firedAt],
            ...[alert.acknowledgedAt, alert.acknowledgedBy, alert.resolvedAt, alert.updatedAt],
          ],
        );
        await appendTransitions(sql, [{ alert, suppressed }]);
      });
    };
    return {
      id: alert.id,
      fire: (suppressed = false) => change({ state: 'firing' }, suppressed),
      acknowledge: () =>
        change({ state: 'acknowledged', acknowledgedAt: new Date().toISOString(), acknowledgedBy: 'ada' }),
      resolve: (suppressed = false) =>
        change({ state: 'resolved', resolvedAt: new Date().toISOString() }, suppressed),
    };
  };
  /** `notifier change state reason`, in the order of the deliveries, without the exchange's. */
  const deliveries = async (): Promise<string[]> => {
    const rows = await database.query<{ line: string }>(
      'reading deliveries',
      `SELECT concat_ws(' ', notifier, change, nullif(repeat, 0), state, reason) AS line FROM alert_deliveries
        WHERE notifier <> 'weir.alerts' ORDER BY id`,
    );
    return rows.map(({ line }) => line);
  };
  return { space, database, metrics, start, alertOf, deliveries };
}

function assertLease(): never {
  throw new Error('another test process holds the place');
}
