import { WeirError } from '@weir/flow';
import type { Cluster } from 'kafkajs';
import { atMost, within } from './client.ts';

const DEADLINE_MS = 2_000;

/** kafkajs has this call, its types do not. */
interface Coordinator {
  leaveGroup(request: { groupId: string; memberId: string }): Promise<unknown>;
}

/**
 * Takes a member out of a group. A broker that comes back still counts the member that this process was before the
 * outage, and lets nobody in until that one's session has run out; it is gone for certain, so it leaves. Throws when
 * the coordinator cannot be found (so the group could not be joined either); an unknown member is fine.
 */
export async function leaveGroup(cluster: Cluster, groupId: string, memberId: string): Promise<void> {
  const coordinator: unknown = await within(
    DEADLINE_MS,
    cluster.findGroupCoordinator({ groupId }),
    () => new WeirError('WEIR_TIMEOUT', 'transient', `finding the coordinator of group ${groupId}`),
  );
  await atMost(DEADLINE_MS, (coordinator as Coordinator).leaveGroup({ groupId, memberId }));
}
