import { WeirError } from '@weir/flow';
import type { Cluster } from 'kafkajs';
import { within } from './client.ts';

const DEADLINE_MS = 2_000;

/** kafkajs has this call, its types do not. */
interface Coordinator {
  leaveGroup(request: { groupId: string; memberId: string }): Promise<unknown>;
}

/**
 * Takes a member out of a group. A broker that comes back still counts the member that this process was before the
 * outage, and lets nobody in until that one's session has run out; it is gone for certain, so it leaves. Throws while
 * the coordinator is not there yet: joining past it would wait for that session.
 */
export async function leaveGroup(cluster: Cluster, groupId: string, memberId: string): Promise<void> {
  const leave = async (): Promise<void> => {
    const coordinator: unknown = await cluster.findGroupCoordinator({ groupId });
    await (coordinator as Coordinator).leaveGroup({ groupId, memberId });
  };
  try {
    await within(
      DEADLINE_MS,
      leave(),
      () => new WeirError('WEIR_TIMEOUT', 'transient', `leaving group ${groupId}: no answer`),
    );
  } catch (error) {
    if ((error as { type?: unknown }).type !== 'UNKNOWN_MEMBER_ID') throw error;
  }
}
