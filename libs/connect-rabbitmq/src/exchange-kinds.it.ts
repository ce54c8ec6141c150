import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { isolated } from '@weir/testkit';
import { commandKey, EXCHANGES, type ExchangeKind, eventKey, QUEUES, telemetryKey } from '@weir/topology';
import { dial, hangUp } from './connection.ts';
import { applyTopology } from './index.ts';

/** What an exchange is for, in the smallest form that no other kind of exchange can do. */
interface Use {
  readonly exchange: (typeof EXCHANGES)[keyof typeof EXCHANGES];
  /** Listener → how it is bound. */
  readonly listeners: Readonly<Record<string, { key: string; headers?: Record<string, string> }>>;
  readonly messages: readonly { readonly key: string; readonly headers?: Record<string, string> }[];
  /** Listener → indexes of the messages that it gets. */
  readonly hears: Readonly<Record<string, readonly number[]>>;
}

const USES: Readonly<Record<string, Use>> = {
  'telemetry: people bind by class, site and metric': {
    exchange: EXCHANGES.telemetry,
    listeners: {
      alerter: { key: 'telemetry.critical.#' },
      'tool of plant-1': { key: 'telemetry.*.plant-1.*' },
      'every pressure': { key: 'telemetry.*.*.pressure.#' },
      dashboard: { key: '#' },
    },
    messages: [
      { key: telemetryKey('normal', 'plant-1', 'temperature') },
      { key: telemetryKey('critical', 'plant-1', 'pressure') },
      { key: telemetryKey('critical', 'plant-2', 'pressure') },
      { key: telemetryKey('normal', 'plant-2', 'pressure', 'pump-7') },
    ],
    hears: {
      alerter: [1, 2],
      'tool of plant-1': [0, 1],
      'every pressure': [1, 2, 3],
      dashboard: [0, 1, 2, 3],
    },
  },
  'events: by site or by what happened': {
    exchange: EXCHANGES.events,
    listeners: {
      alerter: { key: '#' },
      'plant-1': { key: 'events.plant-1.*' },
      'who goes offline': { key: eventKey('*', 'disconnected') },
    },
    messages: [
      { key: eventKey('plant-1', 'connected') },
      { key: eventKey('plant-1', 'disconnected') },
      { key: eventKey('plant-2', 'disconnected') },
    ],
    hears: { alerter: [0, 1, 2], 'plant-1': [0, 1], 'who goes offline': [1, 2] },
  },
  'alerts: by severity, site and kind together, or by any of them': {
    exchange: EXCHANGES.alerts,
    listeners: {
      'on call for plant-1': {
        key: '',
        headers: { 'x-match': 'all', severity: 'critical', site: 'plant-1' },
      },
      'critical or offline': {
        key: '',
        headers: { 'x-match': 'any', severity: 'critical', kind: 'offline' },
      },
    },
    messages: [
      { key: '', headers: { severity: 'critical', site: 'plant-1', kind: 'threshold' } },
      { key: '', headers: { severity: 'critical', site: 'plant-2', kind: 'threshold' } },
      { key: '', headers: { severity: 'info', site: 'plant-1', kind: 'offline' } },
      { key: '', headers: { severity: 'info', site: 'plant-1', kind: 'threshold' } },
    ],
    hears: { 'on call for plant-1': [0], 'critical or offline': [0, 1, 2] },
  },
  'commands: to whom they are addressed, letter by letter': {
    exchange: EXCHANGES.commands,
    listeners: {
      'edge of plant-1': { key: commandKey('plant-1') },
      'edge of plant-2': { key: commandKey('plant-2') },
      'an edge that asks for everything': { key: commandKey('#') },
    },
    messages: [
      { key: commandKey('plant-1') },
      { key: commandKey('plant-2') },
      { key: commandKey('plant-3') },
    ],
    hears: { 'edge of plant-1': [0], 'edge of plant-2': [1], 'an edge that asks for everything': [] },
  },
  'broadcast: everybody, whatever they are bound by': {
    exchange: EXCHANGES.broadcast,
    listeners: {
      'edge-1': { key: '' },
      'edge-2': { key: 'edge-2', headers: { 'x-match': 'all', edge: 'edge-2' } },
      'gateway-1': { key: 'gateway' },
    },
    messages: [{ key: '' }, { key: 'edge-2' }],
    hears: { 'edge-1': [0, 1], 'edge-2': [0, 1], 'gateway-1': [0, 1] },
  },
  'dead letters: by their queue, or those of an app': {
    exchange: EXCHANGES.deadLetters,
    listeners: {
      'normal telemetry': { key: QUEUES.alerterTelemetry.name },
      'all of the alerter': { key: 'weir.alerter.#' },
    },
    messages: [
      { key: QUEUES.alerterTelemetry.name },
      { key: QUEUES.alerterEvents.name },
      { key: 'weir.other.queue' },
    ],
    hears: { 'normal telemetry': [0], 'all of the alerter': [0, 1] },
  },
};

const KINDS: readonly ExchangeKind[] = ['topic', 'headers', 'direct', 'fanout'];

async function heard(t: TestContext, url: string, use: Use, kind: ExchangeKind | 'as the topology says') {
  const connection = await dial({ url, name: 'test' });
  t.after(() => hangUp(connection));
  const channel = await connection.createConfirmChannel();
  const { name } = use.exchange;
  if (kind !== 'as the topology says') {
    await channel.deleteExchange(name);
    await channel.assertExchange(name, kind, { durable: true });
  }
  const queues = new Map<string, string>();
  for (const [listener, { key, headers }] of Object.entries(use.listeners)) {
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.bindQueue(queue, name, key, headers);
    queues.set(listener, queue);
  }
  for (const [index, { key, headers }] of use.messages.entries())
    channel.publish(name, key, Buffer.from(String(index)), headers === undefined ? {} : { headers });
  await channel.waitForConfirms();
  const found: Record<string, number[]> = {};
  for (const [listener, queue] of queues) {
    const got: number[] = [];
    for (;;) {
      const message = await channel.get(queue, { noAck: true });
      if (message === false) break;
      got.push(Number(message.content.toString()));
    }
    found[listener] = got;
  }
  return found;
}

test('every exchange of the topology has a use here', () => {
  assert.deepEqual(
    new Set(Object.values(USES).map(({ exchange }) => exchange.name)),
    new Set(Object.values(EXCHANGES).map(({ name }) => name)),
  );
});

for (const [what, use] of Object.entries(USES)) {
  test(`${use.exchange.kind} exchange ${what}; no other kind does it`, async (t) => {
    const { rabbitmqUrl: url } = await isolated(t, { rabbitmq: true });
    await applyTopology({ url });
    assert.deepEqual(await heard(t, url, use, 'as the topology says'), use.hears);
    for (const kind of KINDS) {
      const found = await heard(t, url, use, kind);
      if (kind === use.exchange.kind) assert.deepEqual(found, use.hears);
      else assert.notDeepEqual(found, use.hears, `${use.exchange.name} as ${kind} does the same`);
    }
  });
}
