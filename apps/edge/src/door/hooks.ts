import { PayloadError, parsePayload } from '@weir/reading';
import type { AedesOptions, Client, Subscription } from 'aedes';
import type { EdgeEvents } from '../events.ts';
import type { Gate } from '../gate/index.ts';
import {
  deadLetterPart,
  eventPart,
  type Intake,
  type Origin,
  type Part,
  readingPart,
  type Settled,
} from '../intake/intake.ts';
import type { DecodePayload } from '../steps/decode-payload.ts';
import type { Broker, IncomingPublish } from './broker.ts';
import { DURABLE, RESTORED, type Session, type TopicEntry } from './session.ts';

type Callback = (error?: Error | null) => void;

export interface HookOptions {
  readonly intake: Intake;
  readonly events: EdgeEvents;
  readonly decode: DecodePayload;
  readonly broker: () => Broker;
  /** The session of a client that is gone: its will comes from the store after a crash. */
  readonly sessionOf: (clientId: string) => Session | null;
  readonly maxSubscriptions: number;
}

export const sessionOfClient = (client: Client | null): Session | null =>
  client === null ? null : ((client.conn as Gate).session as Session | null);

/** The hooks that aedes calls. None rejects or throws: aedes would end the process. */
export function brokerHooks(
  options: HookOptions,
): Required<Pick<AedesOptions, 'authorizePublish' | 'authorizeSubscribe'>> {
  const { intake, events, decode, broker, sessionOf } = options;

  /**
   * The durable write. aedes acknowledges as soon as `callback` is called without an error; with one it closes the
   * connection without an acknowledgement, and the device sends again.
   */
  function publish(client: Client | null, packet: IncomingPublish, callback: Callback): void {
    // wills have no command; after a crash they have no client either
    const isWill = client === null || packet.cmd !== 'publish';
    const session = sessionOfClient(client) ?? sessionOf(packet.clientId ?? client?.id ?? '');
    const at = intake.clock.now();
    const { qos } = packet;
    if (!isWill) events.published(qos);
    const entry = session === null ? null : session.topic(packet.topic);
    if (session === null || entry === null) {
      refuse(packet, null, 'the client of this will is not known any more', at, callback);
      return;
    }
    if (isWill) {
      const answer = callback;
      // aedes would remove a will that could not be stored: it stays for the next start
      callback = (error) => {
        if (!error) answer(null);
      };
      intake.event(entry.site, 'will', { device: session.principal.device, at, topic: packet.topic });
    }
    const mid = qos === 2 && !isWill ? packet.messageId : undefined;
    if (mid !== undefined) {
      const { unreleased } = session;
      const before = unreleased.get(mid);
      // [MQTT-3.3.1-1] without DUP it is sent for the first time: its packet id was free again
      const isReused = before === RESTORED && packet.dup !== true;
      if (before !== undefined && !isReused) {
        // [MQTT-4.3.3-2] received before: answered again, never appended again
        packet.settled = true;
        events.duplicate(readingsIn(packet, entry, at));
        // not before the first one is durable, which another connection of the session may have sent
        if (typeof before === 'string') callback(null);
        else before.push(callback);
        return;
      }
      const repeats: Callback[] = [];
      unreleased.set(mid, repeats);
      const answer = callback;
      callback = (error) => {
        if (unreleased.get(mid) === repeats) {
          if (error) unreleased.delete(mid);
          else unreleased.set(mid, DURABLE);
        }
        answer(error);
        for (const repeat of repeats) repeat(error);
      };
    }
    // its readings tell of it, unless there are none
    if (entry.kind === 'refused' && !isWill) broker().alive.note(session, at);
    if (entry.kind === 'telemetry') telemetry(client, packet, entry, isWill, at, callback);
    else if (entry.kind === 'event') event(client, packet, entry, at, callback);
    else if (entry.kind === 'passed') broker().deliver(packet, client, callback);
    else refuse(packet, session.principal.device, entry.message, at, callback);
  }

  function readingsIn(packet: IncomingPublish, entry: TopicEntry, at: number): number {
    if (entry.kind !== 'telemetry') return entry.kind === 'refused' ? 1 : 0;
    const { count, refused } = decode(packet.payload, entry.metric, at, entry);
    return count + refused.length;
  }

  function telemetry(
    client: Client | null,
    packet: IncomingPublish,
    entry: TopicEntry,
    isWill: boolean,
    at: number,
    callback: Callback,
  ): void {
    const { payload, qos } = packet;
    const decoded = decode(payload, entry.metric, at, entry);
    const { count, refused } = decoded;
    const parts: Part[] = [];
    if (count > 0) {
      const head = {
        at,
        qos,
        mid: qos === 0 || isWill ? undefined : packet.messageId,
        dup: packet.dup === true,
        critical: decoded.critical,
        skip: refused.length === 0 ? undefined : refused.map((each) => each.index as number),
        utcOffset: decoded.utcOffset,
      };
      parts.push(readingPart(entry.prefix, entry.partition, head, payload, count));
    }
    if (count === 0 && !isWill) {
      const session = sessionOfClient(client);
      if (session !== null) broker().alive.note(session, at);
    }
    if (refused.length > 0) {
      const origin: Origin = { system: 'mqtt', name: packet.topic, device: entry.device, at };
      for (const each of refused) parts.push(deadLetterPart(each, origin));
    }
    const settled: Settled = (error, dropped) => {
      if (error !== null) {
        callback(error);
        return;
      }
      intake.countKept(parts, dropped, at);
      // what is buried as a whole is no reading, and no subscriber gets it
      if (count > 0 && (packet.retain || broker().hasWideSubscribers)) {
        broker().deliver(packet, client, callback);
      } else {
        packet.settled = true;
        callback(null);
      }
    };
    if (qos > 0) {
      intake.submit(parts, settled);
    } else if (!intake.offer(parts, settled)) {
      events.dropped('qos0-pressure', count + refused.length);
      packet.settled = true;
      callback(null);
    }
  }

  function event(
    client: Client | null,
    packet: IncomingPublish,
    entry: TopicEntry,
    at: number,
    callback: Callback,
  ): void {
    let data: unknown;
    try {
      data = packet.payload.length === 0 ? null : parsePayload(packet.payload);
    } catch (error) {
      if (!(error instanceof PayloadError)) throw error;
      bury(
        packet,
        entry.device,
        { reason: 'decode', stage: 'decode-event', message: error.message },
        at,
        callback,
      );
      return;
    }
    const fields = { device: entry.device, at, edge: intake.edge, data };
    const settled = (error: Error | null): void => {
      if (error !== null) callback(error);
      else broker().deliver(packet, client, callback);
    };
    const parts = [eventPart(entry.site, entry.event, fields)];
    if (packet.qos > 0) {
      intake.submit(parts, settled);
    } else if (!intake.offer(parts, settled)) {
      events.eventDropped();
      packet.settled = true;
      callback(null);
    }
  }

  /** MQTT 3.1.1 has no answer that says no to a publish: it is acknowledged and kept as a dead letter. */
  function refuse(
    packet: IncomingPublish,
    device: string | null,
    message: string,
    at: number,
    callback: Callback,
  ): void {
    bury(packet, device, { reason: 'rejected', stage: 'check-topic', message }, at, callback);
  }

  function bury(
    packet: IncomingPublish,
    device: string | null,
    why: { reason: 'decode' | 'rejected'; stage: string; message: string },
    at: number,
    callback: Callback,
  ): void {
    packet.settled = true;
    const origin: Origin = { system: 'mqtt', name: packet.topic, device, at };
    const settled: Settled = (error, dropped) => {
      if (error === null) intake.countKept(parts, dropped, at);
      callback(error);
    };
    const parts = [deadLetterPart({ ...why, bytes: packet.payload }, origin)];
    if (packet.qos > 0) {
      intake.submit(parts, settled);
    } else if (!intake.offer(parts, settled)) {
      events.dropped('qos0-pressure', 1);
      callback(null);
    }
  }

  return {
    authorizePublish(client, packet, callback) {
      try {
        publish(client, packet as unknown as IncomingPublish, callback);
      } catch (error) {
        events.failed('handling a publish', error);
        callback(error as Error);
      }
    },
    authorizeSubscribe(client, subscription: Subscription, callback) {
      const session = sessionOfClient(client);
      const { topic } = subscription;
      const held = new Set(Object.keys((client as unknown as { subscriptions: object }).subscriptions));
      for (const filter of session?.granting ?? []) held.add(filter);
      const allowed =
        session?.principal.maySubscribe(topic) === true &&
        (held.has(topic) || held.size < options.maxSubscriptions);
      if (allowed) session.granting.add(topic);
      // null: SUBACK with 0x80
      callback(null, allowed ? subscription : null);
    },
  };
}
