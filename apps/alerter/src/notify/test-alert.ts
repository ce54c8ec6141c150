import type { Message } from './message.ts';

/** An alert that nobody need worry about, to see whether a notifier works. */
export function testAlert(id: string): Message {
  const now = new Date().toISOString();
  return {
    id: `test/${id}`,
    group: null,
    test: true,
    alerts: [
      {
        id: `test/${id}`,
        change: 'firing',
        repeat: 0,
        alert: {
          id,
          rule: 'weir-test',
          kind: 'threshold',
          site: 'weir-test',
          device: 'weir-test',
          metric: 'weir-test',
          severity: 'info',
          labels: {},
          state: 'firing',
          value: 1,
          threshold: 0,
          startedAt: now,
          firedAt: now,
          acknowledgedAt: null,
          acknowledgedBy: null,
          suppressedBy: null,
          resolvedAt: null,
          updatedAt: now,
        },
      },
    ],
  };
}
