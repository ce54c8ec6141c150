import kafkajs, { type PartitionAssigner } from 'kafkajs';

const { MemberAssignment, MemberMetadata } = kafkajs.AssignerProtocol;
const VERSION = 0;

/**
 * Gives every partition to a member, as evenly as can be; nobody loses more of what it owns than that takes.
 * @param owned by member what it says that it owns; of two that name the same partition the first by name is believed
 */
export function assignSticky(
  owned: ReadonlyMap<string, readonly number[]>,
  partitions: readonly number[],
): Map<string, number[]> {
  const unclaimed = new Set(partitions);
  const claims = [...owned.keys()].sort().map((member) => {
    const own = (owned.get(member) ?? []).filter((partition) => unclaimed.delete(partition));
    return { member, own };
  });
  // Those that have most keep the one more that some get.
  claims.sort((a, b) => b.own.length - a.own.length);
  const least = Math.floor(partitions.length / claims.length);
  const withOneMore = partitions.length % claims.length;
  const quota = (rank: number): number => least + (rank < withOneMore ? 1 : 0);
  const free = [...unclaimed, ...claims.flatMap(({ own }, rank) => own.slice(quota(rank)))].sort(
    (a, b) => a - b,
  );
  return new Map(
    claims.map(({ member, own }, rank) => {
      const kept = own.slice(0, quota(rank));
      return [member, [...kept, ...free.splice(0, quota(rank) - kept.length)].sort((a, b) => a - b)];
    }),
  );
}

/**
 * An assigner of kafkajs for a group that reads one topic. Each member tells in its join request what it owns, in the
 * user data of the subscription, and the leader leaves it there where it can.
 */
export function stickyAssigner(topic: string, owns: () => readonly number[]): PartitionAssigner {
  return ({ cluster }) => ({
    name: 'WeirStickyAssigner',
    version: VERSION,
    protocol({ topics }) {
      const userData = Buffer.from(JSON.stringify(owns()));
      return { name: this.name, metadata: MemberMetadata.encode({ version: VERSION, topics, userData }) };
    },
    async assign({ members }) {
      const partitions = cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId);
      const owned = new Map(
        members.map(({ memberId, memberMetadata }) => [memberId, ownedOf(memberMetadata)] as const),
      );
      return [...assignSticky(owned, partitions)].map(([memberId, own]) => ({
        memberId,
        memberAssignment: MemberAssignment.encode({
          version: VERSION,
          assignment: { [topic]: own },
          userData: Buffer.alloc(0),
        }),
      }));
    },
  });
}

function ownedOf(metadata: Buffer): readonly number[] {
  const userData = MemberMetadata.decode(metadata)?.userData;
  return userData === undefined || userData.length === 0 ? [] : (JSON.parse(userData.toString()) as number[]);
}
