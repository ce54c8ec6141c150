import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Command } from '@weir/api';
import { type Client, openClient } from '@weir/connect-mqtt';
import { atEnd, freeOffset, isolated, type SpawnedApp, spawnApp, until } from '@weir/testkit';
import { startWeir, weir } from '../support/pipeline.ts';

const SITE = 'plant-1';
const within = { deadlineMs: 20_000, everyMs: 50 };

interface Got {
  readonly topic: string;
  readonly id: string;
  readonly payload: unknown;
}

/** A device that listens to its commands and, when it is told to, answers them. */
class Listener {
  readonly got: Got[] = [];
  answer: ((got: Got) => unknown) | undefined;
  #client: Client | undefined;
  readonly #device: string;
  constructor(t: TestContext, device: string) {
    this.#device = device;
    atEnd(t, () => this.leave());
  }
  async join(port: number): Promise<void> {
    const client = await openClient({ url: `mqtt://127.0.0.1:${port}`, clientId: this.#device });
    this.#client = client;
    await client.subscribe(`cmd/v1/${SITE}/${this.#device}/#`, (topic, body) => {
      const got = { topic, ...(JSON.parse(body.toString()) as { id: string; payload: unknown }) };
      this.got.push(got);
      if (this.answer !== undefined) this.say({ id: got.id, ...(this.answer(got) as object) });
    });
  }
  say(what: object): void {
    const topic = `events/v1/${SITE}/${this.#device}/command-ack`;
    this.#client?.publish(topic, JSON.stringify(what), 1).catch(() => undefined);
  }
  async leave(): Promise<void> {
    await this.#client?.close();
    this.#client = undefined;
  }
}

interface Asked {
  readonly status: number;
  readonly headers: Headers;
  readonly command: Command;
}

/** Two edges and a gateway, and how to ask it. */
async function start(t: TestContext) {
  const space = await isolated(t);
  await weir(space.env, 'topology', 'apply');
  const gateway = await spawnApp(t, 'gateway', space.env);
  const edge = async (id: string, offset: number): Promise<readonly [SpawnedApp, number]> => {
    const app = await spawnApp(t, 'edge', {
      ...space.env,
      WEIR_PORTS__OFFSET: String(offset),
      WEIR_EDGE__ID: id,
      WEIR_EDGE__DIR: join(space.folder, id),
      WEIR_EDGE__SPOOL__DIR: join(space.folder, id, 'spool'),
      WEIR_EDGE__ANONYMOUS: 'true',
    });
    return [app, 1883 + offset];
  };
  const [[edgeA, portA], [edgeB, portB]] = await Promise.all([
    edge('edge-a', space.portOffset),
    edge('edge-b', await freeOffset(t)),
  ]);
  const send = async (
    device: string,
    body: object,
    { key, wait = 0 }: { key?: string; wait?: number } = {},
  ): Promise<Asked> => {
    const response = await fetch(
      `${gateway.url}/api/v1/devices/${device}/commands?site=${SITE}&wait=${wait}`,
      {
        method: 'POST',
        body: JSON.stringify(body),
        headers: {
          'content-type': 'application/json',
          'x-weir-actor': 'ann',
          ...(key === undefined ? {} : { 'idempotency-key': key }),
        },
      },
    );
    return {
      status: response.status,
      headers: response.headers,
      command: (await response.json()) as Command,
    };
  };
  const look = async (id: string, wait = 0): Promise<Command> =>
    (await (await fetch(`${gateway.url}/api/v1/commands/${id}?wait=${wait}`)).json()) as Command;
  return { space, gateway, edgeA, edgeB, portA, portB, send, look };
}

test('a command reaches its device once and is answered, whichever edge it is at and whatever restarts', {
  timeout: 600_000,
}, async (t) => {
  const { space, gateway, edgeA, portA, portB, send, look } = await start(t);
  const pump = new Listener(t, 'pump-7');
  pump.answer = ({ payload }) => ({ ok: true, result: { done: payload } });
  await pump.join(portB);

  const first = await send(
    'pump-7',
    { name: 'set-speed', payload: { rpm: 1200 } },
    { key: 'shift-1', wait: 15 },
  );
  assert.equal(first.status, 200);
  assert.equal(first.command.state, 'acknowledged');
  assert.deepEqual(first.command.answer, { done: { rpm: 1200 } });
  assert.deepEqual([first.command.createdBy, first.command.deliveredBy], ['ann', 'edge-b']);
  assert.equal(pump.got[0]?.topic, `cmd/v1/${SITE}/pump-7/set-speed`);

  // The same key: the stored command, also from a gateway that was killed in between; another request is refused.
  await gateway.kill('SIGKILL');
  await gateway.restart();
  const again = await send('pump-7', { name: 'set-speed', payload: { rpm: 1200 } }, { key: 'shift-1' });
  assert.deepEqual(
    [again.status, again.command.id, again.headers.get('idempotency-replayed')],
    [200, first.command.id, 'true'],
  );
  const other = await send('pump-7', { name: 'set-speed', payload: { rpm: 1 } }, { key: 'shift-1' });
  assert.equal(other.status, 422);

  // Nobody is there: it waits at the edges, over a restart of one of them, and the device gets it once.
  await pump.leave();
  const waiting = await send('pump-7', { name: 'stop', deadline: '60s' });
  assert.equal(waiting.status, 202);
  await until(async () => (await look(waiting.command.id)).state === 'sent', {
    ...within,
    what: 'the edges to have it',
  });
  await edgeA.kill('SIGKILL');
  await edgeA.restart();
  await pump.join(portA);
  const done = await look(waiting.command.id, 20);
  assert.deepEqual([done.state, done.deliveredBy], ['acknowledged', 'edge-a'], JSON.stringify(done));
  // It moves on to the other edge, and the first one is killed and started once more.
  await pump.leave();
  await edgeA.kill('SIGKILL');
  await edgeA.restart();
  await pump.join(portB);
  const last = await send('pump-7', { name: 'start' }, { wait: 15 });
  assert.equal(last.command.state, 'acknowledged');
  assert.deepEqual(
    pump.got.map(({ id }) => id),
    [first.command.id, waiting.command.id, last.command.id],
  );

  pump.answer = () => ({ ok: false, result: 'jammed' });
  await assert.rejects(
    startWeir(space.env, 'command', 'send', 'pump-7', 'open', '--site', SITE, '--deadline', '10s'),
    (error: { code?: number; stdout?: string }) =>
      error.code === 1 && /could not do it: "jammed"/.test(error.stdout ?? ''),
  );
});

test('a command past its deadline is reported and never delivered later', {
  timeout: 600_000,
}, async (t) => {
  const { portA, send, look } = await start(t);
  // No edge has ever seen a device of the site.
  const nowhere = await send('ghost', { name: 'ping', deadline: '2s' }, { wait: 10 });
  assert.equal(nowhere.command.state, 'expired');
  assert.match(nowhere.command.problem ?? '', /no edge serves this site/);

  const valve = new Listener(t, 'valve-3');
  await valve.join(portA);
  await valve.leave();
  const late = await send('valve-3', { name: 'close', deadline: '4s' }, { wait: 10 });
  assert.equal(late.command.state, 'expired');
  assert.match(late.command.problem ?? '', /not connected/);
  await valve.join(portA);

  // What comes after it proves that the late one does not: both would take the same way.
  const mute = await send('valve-3', { name: 'close', deadline: '5s' }, { wait: 10 });
  assert.deepEqual([mute.command.state, mute.command.deliveredBy], ['expired', 'edge-a']);
  assert.match(mute.command.problem ?? '', /delivered, and not answered in time/);
  assert.deepEqual(
    valve.got.map(({ id }) => id),
    [mute.command.id],
  );
  // An answer after the deadline is kept; somebody else's answer is none.
  const thief = new Listener(t, 'valve-4');
  await thief.join(portA);
  thief.say({ id: mute.command.id, ok: true });
  valve.say({ id: mute.command.id, ok: true, result: 'closed at last' });
  const answered = await until(
    async () => {
      const found = await look(mute.command.id);
      return found.answeredAt !== null && found;
    },
    { ...within, what: 'the late answer' },
  );
  assert.deepEqual([answered.state, answered.answer], ['expired', 'closed at last']);
});
