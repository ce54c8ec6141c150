import type { Alert } from '@weir/api';
import { fieldOf } from './matching.ts';
import type { Change } from './plan.ts';

/** One change of an alert inside a message. */
export interface Told {
  /** The same in every message that tells of it: `<alert id>/firing`, `<alert id>/firing/2` for a reminder. */
  readonly id: string;
  readonly change: Change;
  /** 0 for the change itself, n for the n-th reminder. */
  readonly repeat: number;
  readonly alert: Alert;
}

/** What is sent in one piece. Sent again it has the same id and the same content. */
export interface Message {
  readonly id: string;
  /** What its alerts have in common; null without grouping. */
  readonly group: Readonly<Record<string, string>> | null;
  /** In the order of the changes; at least one. */
  readonly alerts: readonly Told[];
  /** Sent on request, to see whether the notifier works. */
  readonly test: boolean;
}

export function toldId(alertId: string, change: Change, repeat: number): string {
  return repeat === 0 ? `${alertId}/${change}` : `${alertId}/${change}/${repeat}`;
}

/** What the alert has in the fields that a notifier groups by; undefined without grouping. */
export function groupOf(groupBy: readonly string[], alert: Alert): string | undefined {
  if (groupBy.length === 0) return undefined;
  return JSON.stringify(Object.fromEntries(groupBy.map((name) => [name, fieldOf(alert, name)])));
}

/** The body of webhooks and MQTT messages: JSON, the same bytes for every attempt. */
export function messageBody(notifier: string, { id, group, alerts, test }: Message): string {
  return JSON.stringify({
    id,
    type: test ? 'test' : 'alerts',
    notifier,
    group,
    alerts: alerts.map(({ id: change, repeat, alert }) => ({ ...alert, changeId: change, repeat })),
  });
}

const WORDS = { firing: 'FIRING', acknowledged: 'ACKNOWLEDGED', resolved: 'RESOLVED' } as const;
const number = (value: number): string => value.toLocaleString('en-US', { maximumFractionDigits: 4 });
const placeOf = ({ site, device }: Alert): string => (device === '' ? site : `${site}/${device}`);

/** One line about a change, for people. */
export function headline({ change, repeat, alert }: Told): string {
  const head = `[${WORDS[change]}${repeat === 0 ? '' : ' (still)'}] ${alert.severity}: ${alert.rule} on ${placeOf(alert)}`;
  // Who raised it has said it in a sentence.
  if (alert.labels.text !== undefined) return `${head}: ${alert.labels.text}`;
  const metric = alert.metric === '' ? '' : ` ${alert.metric}`;
  const value = alert.value === null ? '' : ` = ${number(alert.value)}`;
  const limit = alert.threshold === null ? '' : ` (limit ${number(alert.threshold)})`;
  return `${head}${metric}${value}${limit}`;
}

/** A subject of one line and a text, for people. */
export function mailText({ alerts, group, test }: Message): {
  readonly subject: string;
  readonly text: string;
} {
  const [first] = alerts;
  const shared = Object.entries(group ?? {}).map(([name, value]) => `${name}=${value}`);
  const subject =
    alerts.length === 1 && first !== undefined
      ? headline(first)
      : `${alerts.length} changes of alerts: ${shared.join(' ')}`;
  const paragraphs = alerts.map(({ id, change, alert, repeat }) =>
    [
      headline({ id, change, alert, repeat }),
      `  since ${alert.startedAt}`,
      ...(alert.acknowledgedBy === null ? [] : [`  acknowledged by ${alert.acknowledgedBy}`]),
      ...(alert.resolvedAt === null ? [] : [`  resolved ${alert.resolvedAt}`]),
      `  alert ${alert.id}`,
    ].join('\n'),
  );
  return { subject: test ? `[TEST] ${subject}` : subject, text: `${paragraphs.join('\n\n')}\n` };
}
