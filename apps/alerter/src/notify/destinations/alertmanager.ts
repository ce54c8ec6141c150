import type { Message, Told } from '../message.ts';
import { headline } from '../message.ts';
import type { Destination } from './destination.ts';
import { post } from './http.ts';

export interface AlertmanagerOptions {
  readonly url: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** How often firing alerts are sent again, milliseconds. */
  readonly resendMs: number;
}

/** Prometheus gives its alerts four times their resend interval, so that three lost requests resolve nothing. */
const RESENDS_TO_LIVE = 4;

interface PostableAlert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly startsAt: string;
  readonly endsAt: string;
}

/**
 * An alert as `POST /api/v2/alerts` takes it. Its labels name it, so they hold nothing that changes while it fires. Times
 * are event times, moved so that a start lies before its end and an end not in the future, where it would not end.
 */
export function postable({ change, repeat, alert, id }: Told, resendMs: number, now: number): PostableAlert {
  const named = Object.entries({
    ...alert.labels,
    alertname: alert.rule,
    severity: alert.severity,
    kind: alert.kind,
    site: alert.site,
    device: alert.device,
    metric: alert.metric,
  });
  const ended = change === 'resolved';
  const end = ended
    ? Math.min(Date.parse(alert.resolvedAt ?? alert.updatedAt), now)
    : now + RESENDS_TO_LIVE * resendMs;
  const start = Math.min(Date.parse(alert.startedAt), ended ? end - 1 : now);
  return {
    // An empty label is none (Prometheus data model).
    labels: Object.fromEntries(named.filter(([, value]) => value !== '')),
    annotations: {
      summary: headline({ id, change, repeat, alert }),
      alert: alert.id,
      ...(alert.value === null ? {} : { value: String(alert.value) }),
      ...(alert.threshold === null ? {} : { threshold: String(alert.threshold) }),
      ...(alert.acknowledgedBy === null ? {} : { acknowledged_by: alert.acknowledgedBy }),
    },
    startsAt: new Date(start).toISOString(),
    endsAt: new Date(end).toISOString(),
  };
}

/** Alertmanager, API v2: it forgets what is not sent again, and takes each alert as often as it comes. */
export function alertmanager({ url, username, password = '', resendMs }: AlertmanagerOptions): Destination {
  const base = new URL(url);
  const path = `${base.href.replace(/\/$/, '')}/api/v2/alerts`;
  const headers: Record<string, string> =
    username === undefined
      ? {}
      : { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` };
  return {
    atATime: 200,
    parallel: 1,
    refreshMs: resendMs,
    async deliver(messages: readonly Message[], signal) {
      const now = Date.now();
      const body = JSON.stringify(
        messages.flatMap(({ alerts }) => alerts.map((told) => postable(told, resendMs, now))),
      );
      const said = await post({
        doing: `telling Alertmanager at ${base.host}`,
        url: path,
        body,
        headers,
        signal,
      });
      return messages.map(() => said);
    },
    close: async () => {},
  };
}
