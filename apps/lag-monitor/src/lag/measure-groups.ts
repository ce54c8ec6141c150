import type { Admin, GroupState, TopicIds } from '@weir/connect-kafka';
import type { MeasuredPartition } from '@weir/lag';
import { eachOf, type MeasuredGroup, type Round } from './measured.ts';
import type { readHeads, Waiting } from './read-heads.ts';

export interface MeasureGroupsOptions {
  readonly admin: Pick<
    Admin,
    'listGroups' | 'describeGroups' | 'groupOffsets' | 'topicOffsets' | 'topicConfig' | 'listTopics'
  >;
  readonly ids: Pick<TopicIds, 'read'>;
  readonly heads: Pick<ReturnType<typeof readHeads>, 'readHeads'>;
  readonly isWatched: (group: string) => boolean;
  readonly isOurs: (group: string) => boolean;
  readonly maxPartitions: number;
}

const AT_A_TIME = 6;
/** Settings of topics seldom change. */
const CONFIG_MS = 300_000;
const REBALANCING = new Set(['PreparingRebalance', 'CompletingRebalance']);

interface Offsets {
  readonly start: number;
  readonly end: number;
}
const NO_IDS: ReadonlyMap<string, string> = new Map();
const NOTHING: Offsets = { start: 0, end: 0 };
interface Place {
  readonly topic: string;
  readonly partition: number;
  readonly committed: number | null;
  readonly consumers: number | null;
  readonly consumer: string | null;
}

/**
 * Makes a step that measures all consumer groups, ours and others'. Committed places are read before ends, so a group
 * that moves meanwhile never looks ahead of its log. The step throws `WeirError` when Kafka does not answer.
 */
export function measureGroups({ admin, ids, heads, isWatched, isOurs, maxPartitions }: MeasureGroupsOptions) {
  let retention = new Map<string, { readonly ms: number | null; readonly at: number }>();

  const readOffsets = async (
    topics: Iterable<string>,
  ): Promise<Map<string, ReadonlyMap<number, Offsets>>> => {
    const present = new Set(await admin.listTopics());
    const found = new Map<string, ReadonlyMap<number, Offsets>>();
    const wanted = [...new Set(topics)].filter((topic) => present.has(topic));
    await eachOf(wanted, AT_A_TIME, async (topic) => {
      const offsets = await admin.topicOffsets(topic);
      const numbers = offsets.map(
        ({ partition, start, end }) => [partition, { start: Number(start), end: Number(end) }] as const,
      );
      found.set(topic, new Map(numbers));
    });
    return found;
  };

  const readRetention = async (topics: Iterable<string>): Promise<void> => {
    const now = Date.now();
    const next = new Map<string, { readonly ms: number | null; readonly at: number }>();
    await eachOf([...topics], AT_A_TIME, async (topic) => {
      const known = retention.get(topic);
      const fresh = known !== undefined && now - known.at < CONFIG_MS;
      next.set(topic, fresh ? known : { ms: await retentionOf(admin, topic), at: now });
    });
    retention = next;
  };

  return async function measureGroups(): Promise<Round> {
    const since = performance.now();
    const names = (await admin.listGroups()).filter(isWatched);
    const states = await admin.describeGroups(names);
    const committed = new Map<string, ReadonlyMap<string, ReadonlyMap<number, number>>>();
    await eachOf(names, AT_A_TIME, async (name) => {
      committed.set(name, byTopic(await admin.groupOffsets(name)));
    });
    const topicsOf = (state: GroupState): Set<string> =>
      new Set([
        ...(committed.get(state.groupId)?.keys() ?? []),
        ...state.members.flatMap(({ assigned }) => [...(assigned?.keys() ?? [])]),
      ]);
    const offsets = await readOffsets(states.flatMap((state) => [...topicsOf(state)]));
    await readRetention(offsets.keys());
    // Kafka before 2.8 has none; a topic made anew is then told from its shorter log.
    const logs = await ids.read([...offsets.keys()]).catch(() => NO_IDS);
    const at = Date.now();
    const tookMs = performance.now() - since;

    const offsetsOf = (topic: string, partition: number): Offsets =>
      offsets.get(topic)?.get(partition) ?? NOTHING;

    let room = maxPartitions;
    let left = 0;
    const placed = states.map((state) => {
      const places = [...topicsOf(state)].flatMap((topic) =>
        placesOf(
          state,
          topic,
          [...(offsets.get(topic)?.keys() ?? [])],
          committed.get(state.groupId)?.get(topic),
        ),
      );
      const kept = places.slice(0, room);
      room -= kept.length;
      left += places.length - kept.length;
      return { state, places: kept };
    });
    const waitingOf = (group: string, { topic, partition, committed }: Place): Waiting | null => {
      const { start, end } = offsetsOf(topic, partition);
      const place = committed === null ? null : Math.max(committed, start);
      return place === null || place >= end ? null : { group, topic, partition, place, end };
    };
    const headOf = await heads.readHeads(
      placed.flatMap(({ state, places }) => places.flatMap((one) => waitingOf(state.groupId, one) ?? [])),
    );

    const groups = placed.map(({ state, places }): MeasuredGroup => {
      const rebalancing = REBALANCING.has(state.state);
      const partitions = places.map((place): MeasuredPartition => {
        const { topic, partition, committed, consumers, consumer } = place;
        const waiting = waitingOf(state.groupId, place);
        const head = waiting === null ? undefined : headOf(waiting);
        const measured = {
          ...{ at, committed, consumers, rebalancing, ...offsetsOf(topic, partition) },
          log: logs.get(topic) ?? null,
          retentionMs: retention.get(topic)?.ms ?? null,
          ...(head === undefined ? {} : head === 'nothing' ? { nothing: true } : { headAt: head.at }),
        };
        return { topic, partition, consumer, measured };
      });
      const name = state.groupId;
      return {
        ...{
          system: 'kafka',
          name,
          ours: isOurs(name),
          state: state.state,
          rebalancing,
          unacked: null,
          partitions,
        },
        consumers: isDead(state) ? null : state.members.length,
      };
    });
    return { at, groups, tookMs, left };
  };
}

/** A group of a newer protocol looks dead to this request though it was listed: nobody can say who is in it. */
const isDead = ({ state }: GroupState): boolean => state === 'Dead';

function byTopic(
  offsets: readonly { readonly topic: string; readonly partition: number; readonly committed: bigint }[],
): Map<string, Map<number, number>> {
  const topics = new Map<string, Map<number, number>>();
  for (const { topic, partition, committed } of offsets) {
    const partitions = topics.get(topic) ?? new Map<number, number>();
    topics.set(topic, partitions.set(partition, Number(committed)));
  }
  return topics;
}

/** Every partition of a topic that a group has to do with. */
function placesOf(
  state: GroupState,
  topic: string,
  partitions: readonly number[],
  committed: ReadonlyMap<number, number> | undefined,
): Place[] {
  const settled = !isDead(state) && !REBALANCING.has(state.state);
  const told = settled && state.members.every(({ assigned }) => assigned !== null);
  return partitions.map((partition) => {
    const owners = state.members.filter(({ assigned }) => assigned?.get(topic)?.includes(partition));
    return {
      ...{ topic, partition, committed: committed?.get(partition) ?? null },
      consumers: told ? owners.length : null,
      consumer: owners[0]?.clientId ?? null,
    };
  });
}

/** How long a topic keeps a record, milliseconds; null: for ever, by its size only, or until it is compacted. */
async function retentionOf(admin: Pick<Admin, 'topicConfig'>, topic: string): Promise<number | null> {
  const config = await admin.topicConfig(topic, ['retention.ms', 'cleanup.policy']);
  const ms = Number(config.get('retention.ms') ?? -1);
  return ms < 0 || !(config.get('cleanup.policy') ?? 'delete').includes('delete') ? null : ms;
}
