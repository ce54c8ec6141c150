import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '@weir/config';
import { WeirError } from '@weir/flow';
import { topicReader } from '@weir/reading';
import type { AuthenticateError, Client } from 'aedes';
import { ClassicLevel } from 'classic-level';
import mqtt from 'mqtt-packet';
import type { Credentials } from '../auth/credentials.ts';
import { anonymousPrincipal, devicePrincipal, type Principal } from '../auth/rights.ts';
import { classRules } from '../classes.ts';
import { zonesOfSites } from '../clock/index.ts';
import type { EdgeEvents, LoginRefusal } from '../events.ts';
import type { Gate } from '../gate/index.ts';
import type { Intake } from '../intake/intake.ts';
import type { DecodePayload } from '../steps/decode-payload.ts';
import { Broker } from './broker.ts';
import { brokerHooks, sessionOfClient } from './hooks.ts';
import { sendLeftWills } from './left-wills.ts';
import { RESTORED, Session, type SessionOptions, TopicRoom, type Unreleased } from './session.ts';
import { SessionStore } from './session-store.ts';

export interface BrokerOptions {
  readonly config: Config['edge'];
  readonly intake: Intake;
  readonly events: EdgeEvents;
  readonly decode: DecodePayload;
  /** null: anonymous mode. */
  readonly credentials: Credentials | null;
}

export interface OpenBroker {
  readonly broker: Broker;
  /** Ends every connection, then closes the store. */
  close(): Promise<void>;
}

/** [MQTT-3.2.2-3] return codes. */
const RETURN_CODE: Readonly<Record<LoginRefusal, 2 | 3 | 4 | 5>> = {
  missing: 4,
  unknown: 5,
  'wrong-secret': 5,
  revoked: 5,
  'client-id': 2,
  unavailable: 3,
};

async function openStore(dir: string): Promise<ClassicLevel<string, Buffer>> {
  const location = join(dir, 'sessions');
  await mkdir(location, { recursive: true });
  const db = new ClassicLevel<string, Buffer>(location, { valueEncoding: 'buffer' });
  try {
    await db.open();
  } catch (error) {
    const isLocked = (error as { cause?: { code?: string } }).cause?.code === 'LEVEL_LOCKED';
    throw new WeirError(
      'WEIR_STATE',
      'fatal',
      isLocked
        ? `Another edge is using the folder ${location}. Stop it, or give this one its own edge.dir.`
        : `The session store ${location} cannot be opened. Move the folder away to start without sessions.`,
      error,
    );
  }
  return db;
}

/** Opens the session store and the broker, with who may connect, publish and subscribe. */
export async function openBroker(options: BrokerOptions): Promise<OpenBroker> {
  const { config, intake, events, credentials } = options;
  const templates = config.topics;
  const commandPrefix = templates.commands.slice(0, templates.commands.indexOf('{'));
  const topics: SessionOptions = {
    edge: intake.edge,
    via: 'mqtt',
    read: topicReader(templates),
    zoneOf: zonesOfSites(config.timeZones),
    classesOf: classRules(config.forward, templates.telemetry),
    room: new TopicRoom(),
  };
  // a Buffer for each of the 65,536 packet ids: 8 MiB for answers that hardly ever leave this way
  mqtt.writeToStream.cacheNumbers = false;
  const db = await openStore(config.dir);
  const store = new SessionStore(db, commandPrefix, config.limits.queuedMessages);

  const principalOf = (clientId: string): Principal | null => {
    if (credentials === null) return anonymousPrincipal(clientId, templates);
    const credential = credentials.find(clientId);
    return credential === undefined ? null : devicePrincipal(credential, templates);
  };
  const refusal = (reason: LoginRefusal, device: string): AuthenticateError => {
    events.loginRefused(reason, device);
    return Object.assign(new Error(`login refused: ${reason}`), {
      returnCode: RETURN_CODE[reason] as number,
    });
  };

  /** What a kept session has received and not released. */
  async function unreleasedOf(clientId: string): Promise<Unreleased> {
    const running = broker.find(clientId);
    if (running === null) {
      return new Map((await store.unreleased(clientId)).map((id) => [id, RESTORED] as const));
    }
    // the state of a clean session ends with it: its packet ids are free again
    return running.clean ? new Map() : (sessionOfClient(running)?.unreleased ?? new Map());
  }

  async function login(
    client: Client,
    username: string | undefined,
    password: Buffer | undefined,
  ): Promise<AuthenticateError | null> {
    let principal: Principal | null = anonymousPrincipal(client.id, templates);
    if (credentials !== null) {
      if (!username || password === undefined) return refusal('missing', client.id);
      if (client.id !== username) return refusal('client-id', client.id);
      const found = await credentials.login(username, password);
      if (!found.ok) return refusal(found.reason, username);
      principal = devicePrincipal(found.credential, templates);
    }
    const unreleased = client.clean ? new Map() : await unreleasedOf(client.id);
    (client.conn as Gate).session = new Session(client.id, principal, unreleased, topics);
    return null;
  }

  const hooks = brokerHooks({
    intake,
    events,
    decode: options.decode,
    broker: () => broker,
    sessionOf: (clientId) => {
      const principal = clientId === '' ? null : principalOf(clientId);
      return principal === null ? null : new Session(clientId, principal, new Map(), topics);
    },
    maxSubscriptions: config.limits.subscriptions,
  });
  const broker: Broker = new Broker(
    {
      id: `${config.id}-${String(intake.clock.latest()).padStart(15, '0')}`, // queued messages sort by it, across restarts
      concurrency: 0,
      connectTimeout: config.limits.connectTime * 2,
      drainTimeout: 10_000,
      queueLimit: 1_024,
      maxInflightInbound: Math.max(1_000, config.limits.inflight),
      ...hooks,
      authenticate(client, username, password, done) {
        login(client, username, password).then(
          (error) => done(error, error === null),
          (error: unknown) => {
            events.failed('logging a device in', error);
            done(refusal('unavailable', client.id), false);
          },
        );
      },
    },
    store,
    commandPrefix,
  );
  store.onReleased = (client, id) => {
    for (const each of [client as unknown as Client, broker.find(client.id ?? '')]) {
      sessionOfClient(each)?.unreleased.delete(id);
    }
  };
  store.maySubscribe = (client, filter) => {
    const session = sessionOfClient(client as unknown as Client);
    if (session === null) return true;
    const { subscriptions } = client as unknown as { subscriptions: object };
    return session.granting.has(filter) || filter in subscriptions;
  };
  broker.on('client', (client) => sessionOfClient(client)?.granting.clear()); // those of a restored session
  broker.on('clientDisconnect', (client) => sessionOfClient(client)?.end());
  broker.on('subscribe', (subscriptions, client) => {
    const granting = sessionOfClient(client)?.granting;
    for (const { topic } of subscriptions) granting?.delete(topic);
  });
  store.onQueueFull = (clientId) => events.queueFull(clientId);
  store.onReadFailed = (error) => events.failed('reading retained messages', error);
  broker.setMaxListeners(0);
  announce(broker, intake, events);
  await broker.listen();
  await sendLeftWills(broker, store, hooks.authorizePublish, events);

  if (credentials !== null) {
    credentials.onChanged = (devices) => {
      for (const device of devices) {
        // the gate's end counts as a lost connection, so its will is sent
        broker.find(device)?.conn.destroy();
      }
    };
  }
  return {
    broker,
    close: async () => {
      await new Promise<void>((resolve) => broker.close(resolve));
      // the wills of those who were connected are on their way into the spool
      await intake.settle();
      await db.close();
    },
  };
}

/** Connects and disconnects become events. */
function announce(broker: Broker, intake: Intake, events: EdgeEvents): void {
  const tell = (client: Client, kind: string): void => {
    const session = sessionOfClient(client);
    const site = session?.principal.site ?? '-';
    intake.event(site, kind, { device: client.id, at: intake.clock.now(), clean: client.clean });
  };
  broker.on('client', (client) => {
    events.connected();
    tell(client, 'connected');
  });
  broker.on('clientDisconnect', (client) => tell(client, 'disconnected'));
  broker.on('ping', (_packet, client) => {
    const session = sessionOfClient(client);
    if (session !== null) broker.alive.note(session, intake.clock.now());
  });
  broker.on('clientError', (client, error) => events.clientError(client.id, error));
  broker.on('connectionError', (client, error) => events.clientError(client.id, error));
  (broker as unknown as { on(name: 'error', listener: (error: unknown) => void): void }).on(
    'error',
    (error) => events.failed('the MQTT broker', error),
  );
}
