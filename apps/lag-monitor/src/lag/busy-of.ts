import type { HopName, Pressure } from '@weir/api';
import { kafkaTopology, QUEUES } from '@weir/topology';
import type { AskBusy } from './board.ts';

/** What the consumers of our groups and queues do with their time, as the watch over the pressure knows it. */
export function busyOf(namespace: string, pressure: () => Pressure | null): AskBusy {
  const { aggregator, archiver } = kafkaTopology(namespace).groups;
  const hops = new Map<string, HopName>([
    [aggregator, 'aggregator'],
    [archiver, 'archiver'],
    [QUEUES.alerterTelemetry.name, 'alerter'],
    [QUEUES.alerterCritical.name, 'alerter'],
    [QUEUES.alerterEvents.name, 'alerter'],
  ]);
  return function busyOf(group) {
    const name = hops.get(group);
    const hop = pressure()?.hops.find((one) => one.hop === name);
    if (hop === undefined || hop.waitingShare === null || hop.busyShare === null) return null;
    return { sink: hop.waitingShare, work: hop.busyShare };
  };
}
