import { randomUUID } from 'node:crypto';
import type { DeadLetterSelection } from '@weir/api';
import type { Database } from '@weir/connect-timescale';
import { createTask, waitingDestinations } from '@weir/dead-letters';
import type { DeadLetterReason } from '@weir/flow';
import type { Health } from './destinations.ts';
import type { ReplayEvents } from './events.ts';

/** Letters of this reason are sent again by themselves when their destination is well again. */
export interface Policy {
  readonly reason: DeadLetterReason;
  /** Letters a second, at most. */
  readonly rate: number;
  /** How long the destination must have been well, milliseconds. */
  readonly healthyFor: number;
}

export interface PolicyOptions {
  readonly database: Database;
  readonly policies: readonly Policy[];
  readonly maxReplays: number;
  /** Topic of the readings. */
  readonly readings: string;
  readonly look: (destination: string) => Promise<Health>;
  readonly events: ReplayEvents;
  /** The caller's monotonic clock, milliseconds. */
  readonly now?: () => number;
}

/**
 * Makes a step, to be called every few seconds, that begins a replay for each policy and destination for which letters
 * wait that are new, or came back, since its last one, and that has been well for long enough. It throws transient
 * errors when a server is away.
 */
export function applyPolicies(options: PolicyOptions) {
  const { database, policies, maxReplays, readings, look, events, now = () => performance.now() } = options;
  /** Destination → since when it is well. */
  const wellSince = new Map<string, number>();

  async function wellFor(destination: string): Promise<number> {
    const { behind, unread } = await look(destination);
    if (behind !== null || unread !== null) {
      wellSince.delete(destination);
      return 0;
    }
    const since = wellSince.get(destination) ?? now();
    wellSince.set(destination, since);
    return now() - since;
  }

  async function begin({ reason, rate, healthyFor }: Policy, destination: string): Promise<void> {
    const well = await wellFor(destination);
    if (well < healthyFor) return;
    const place: Partial<DeadLetterSelection> =
      destination === readings
        ? { originSystem: ['mqtt', 'http', 'kafka'] }
        : { originSystem: ['rabbitmq'], origin: destination };
    const why = `${destination} has been well for ${Math.round(well / 1_000)} s`;
    await database.transaction('beginning a replay by policy', (transaction) =>
      createTask(transaction, {
        id: randomUUID(),
        by: `policy ${reason}`,
        why,
        policy: policyKey(reason, destination),
        selection: { reason: [reason], status: ['open'], ...place },
        rate,
        maxReplays,
        starts: true,
      }),
    );
    events.policy(reason, why);
  }

  return async function applyPolicies(): Promise<void> {
    const waiting = new Set<string>();
    for (const policy of policies) {
      const key = (destination: string): string => policyKey(policy.reason, destination);
      for (const destination of await waitingDestinations(database, policy.reason, readings, key)) {
        waiting.add(destination);
        await begin(policy, destination);
      }
    }
    // What nobody waits for is not looked at, so nothing is known of it any more.
    for (const destination of wellSince.keys()) if (!waiting.has(destination)) wellSince.delete(destination);
  };
}

const policyKey = (reason: string, destination: string): string => `${reason} to ${destination}`;
