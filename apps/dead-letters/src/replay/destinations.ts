import type { Admin } from '@weir/connect-kafka';
import { queueDepths, vhostOf } from '@weir/connect-rabbitmq';
import type { KafkaTopology } from '@weir/topology';
import type { AskLag } from './ask-lag.ts';

/** How a destination does; null: well. Else what is wrong, as a sentence without its end. */
export interface Health {
  /** More waits there than may. */
  readonly behind: string | null;
  /** Nobody reads it. */
  readonly unread: string | null;
}

export interface DestinationOptions {
  readonly admin: Pick<Admin, 'groupLag' | 'groupSize'>;
  readonly topics: KafkaTopology;
  readonly rabbitmq: { readonly url: string; readonly managementUrl: string };
  /** Records or messages. */
  readonly maxLag: number;
  /** What the lag monitor says of it counts as well. */
  readonly askLag: AskLag;
}

/** Makes a step that looks at a destination, a topic or a queue. It throws transient errors when a server is away. */
export function lookAt({ admin, topics, rabbitmq, maxLag, askLag }: DestinationOptions) {
  const behind = (who: string, lag: number): string | null =>
    lag > maxLag ? `${lag} wait for ${who}, more than deadLetters.maxLag (${maxLag})` : null;

  async function topic(): Promise<Health> {
    const group = topics.groups.aggregator;
    const lags = await admin.groupLag(group, topics.readings.name);
    const lag = lags.reduce((sum, one) => sum + Number(one.lag ?? 0n), 0);
    const members = await admin.groupSize(group);
    return {
      behind: behind(`group ${group}`, lag) ?? (await askLag('kafka', group)),
      unread: members === 0 ? `nobody is in group ${group}` : null,
    };
  }

  async function queue(name: string): Promise<Health> {
    const depths = await queueDepths(rabbitmq.managementUrl, vhostOf(rabbitmq.url));
    const found = depths.find((depth) => depth.name === name);
    if (found === undefined) return { behind: null, unread: `there is no queue ${name}` };
    const unread = found.consumers === 0 ? `queue ${name} has no consumer` : null;
    const much = behind(`the consumers of ${name}`, found.ready + found.unacked);
    return { behind: much ?? (await askLag('rabbitmq', name)), unread };
  }

  return function lookAt(destination: string): Promise<Health> {
    return destination === topics.readings.name ? topic() : queue(destination);
  };
}
