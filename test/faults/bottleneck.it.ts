import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { HopName, Pressure } from '@weir/api';
import { seeded } from '@weir/load';
import { CHECKOUT, isolated, spawnApp, until, wireTo } from '@weir/testkit';
import { PORTS } from '@weir/topology';
import { cpuShare, limitCpu } from '../support/duty-cycle.ts';
import { startPipeline } from '../support/pipeline.ts';
import { Traffic } from '../support/traffic.ts';

/** Runs of each kind; without it one run each of three kinds. */
const RUNS = Number(process.env.WEIR_BOTTLENECK_RUNS ?? 0);
const SEED = Number(process.env.WEIR_BOTTLENECK_SEED ?? 1);
const KINDS = [
  'timescale',
  'minio',
  'rabbitmq',
  'kafka',
  'edge-cpu',
  'spool-disk',
  'aggregator-cpu',
  'nothing',
] as const;
type Kind = (typeof KINDS)[number];
/** All kinds, or those of WEIR_BOTTLENECK_KINDS. */
const CHOSEN = KINDS.filter((kind) => (process.env.WEIR_BOTTLENECK_KINDS ?? kind).split(',').includes(kind));
const NAMED: Readonly<Record<Kind, HopName | 'none'>> = {
  timescale: 'timescale',
  minio: 'minio',
  rabbitmq: 'rabbitmq',
  kafka: 'kafka',
  'edge-cpu': 'device-gate',
  'spool-disk': 'spool',
  'aggregator-cpu': 'aggregator',
  nothing: 'none',
};
/** In which a hop is to be named, and its name withdrawn. */
const WITHIN_MS = 30_000;
const READY_MS = 120_000;
/** Of the CPU that an app needs, as much is left to it. */
const LEFT_SHARE = 0.15;

test('whatever is made slow is named within 30 s, and no longer than 30 s after its end', {
  timeout: 600_000 + RUNS * KINDS.length * 90_000,
}, async (t) => {
  const random = seeded(SEED);
  const own = await isolated(t);
  const [broker = ''] = own.brokers;
  const wires = {
    timescale: await wireTo(t, own.timescaleUrl),
    rabbitmq: await wireTo(t, own.rabbitmqUrl),
    minio: await wireTo(t, own.minio.url),
    kafka: await wireTo(t, `tcp://${broker}`),
  };
  const slowDisk = join(own.folder, 'slow-disk');
  const { space, apps, mqttPort } = await startPipeline(t, {
    space: own,
    readyMs: READY_MS,
    env: {
      WEIR_TIMESCALE__URL: wires.timescale.url,
      WEIR_RABBITMQ__URL: wires.rabbitmq.url,
      WEIR_MINIO__URL: wires.minio.url.replace(/\/$/, ''),
      // A broker tells its clients its own address, so a proxy beside it would be passed by.
      IMPAIR_REDIRECT: `${new URL(`tcp://${broker}`).port}:${new URL(wires.kafka.url).port}`,
      IMPAIR_SLOW_DISK: slowDisk,
      NODE_OPTIONS: `--import ${join(CHECKOUT, 'test', 'support', 'impaired.ts')}`,
    },
  });
  await spawnApp(t, 'lag-monitor', space.env, { readyMs: READY_MS });
  await spawnApp(t, 'gateway', space.env, { readyMs: READY_MS });
  const url = `http://127.0.0.1:${PORTS.gateway + space.portOffset}/api/v1/pressure`;
  const bottleneck = async (): Promise<Pressure['bottleneck']> => {
    const response = await fetch(url, { signal: AbortSignal.timeout(5_000) });
    assert.equal(response.status, 200, await response.clone().text());
    return ((await response.json()) as Pressure).bottleneck;
  };
  const traffic = new Traffic(t, { mqttPort, devices: 100, hertz: 5 });
  await traffic.start();
  await until(() => traffic.acknowledged > 5_000, { deadlineMs: 60_000, what: 'the pipeline to run' });

  const slow = (server: keyof typeof wires, pieceMs: number) => async () => {
    wires[server].slow(pieceMs);
    return async () => wires[server].slow(0);
  };
  const starved = (app: 'edge' | 'aggregator') => async () => {
    const { pid } = apps[app];
    return limitCpu(t, pid, LEFT_SHARE * (await cpuShare(pid, 3_000)));
  };
  /** Begins each; some are worse than others. Resolves with what ends it. */
  const begin = (kind: Kind): Promise<() => Promise<void>> => {
    const worse = 1 + random();
    const faults: Readonly<Record<Kind, () => Promise<() => Promise<void>>>> = {
      timescale: slow('timescale', 400 * worse),
      minio: slow('minio', 4_000 * worse),
      rabbitmq: slow('rabbitmq', 2_000 * worse),
      // Twice that is a round trip; with more than 5 s nobody could connect.
      kafka: slow('kafka', 600 * (1 + worse)),
      'edge-cpu': starved('edge'),
      'aggregator-cpu': starved('aggregator'),
      'spool-disk': async () => {
        writeFileSync(slowDisk, String(Math.round(1_000 * worse)));
        return async () => rmSync(slowDisk);
      },
      nothing: async () => async () => undefined,
    };
    return faults[kind]();
  };

  const kinds = RUNS > 0 ? Array.from({ length: RUNS }, () => CHOSEN).flat() : CHOSEN.slice(0, -1);
  const order = kinds
    .map((kind) => ({ kind, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ kind }) => kind)
    .slice(0, RUNS > 0 ? kinds.length : 3);
  const matrix = new Map<Kind, Map<string, number>>();
  const wrong: string[] = [];
  for (const kind of order) {
    await until(async () => (await bottleneck()) === null, {
      deadlineMs: 2 * WITHIN_MS,
      what: `nothing to be named before ${kind}`,
      everyMs: 500,
    });
    const end = await begin(kind);
    const began = performance.now();
    const seen: string[] = [];
    let why = '';
    await until(
      async () => {
        const named = await bottleneck();
        if (named !== null && seen.at(-1) !== named.hop) seen.push(named.hop);
        why = named?.why ?? why;
        return seen.at(-1) === NAMED[kind] || performance.now() - began > WITHIN_MS;
      },
      { deadlineMs: 2 * WITHIN_MS, what: `${kind} to be named`, everyMs: 500 },
    );
    const named = seen.at(-1) ?? 'none';
    const after = performance.now() - began;
    await end();
    const ended = performance.now();
    await until(async () => (await bottleneck()) === null, {
      deadlineMs: 3 * WITHIN_MS,
      what: `the name to be withdrawn after ${kind}`,
      everyMs: 500,
    });
    const cleared = performance.now() - ended;
    const row = matrix.get(kind) ?? new Map<string, number>();
    matrix.set(kind, row.set(named, (row.get(named) ?? 0) + 1));
    const took = `named ${seen.join(', then ') || 'nothing'} after ${seconds(after)}, cleared after ${seconds(cleared)}`;
    t.diagnostic(`${kind}: ${took}${why === '' ? '' : ` (${why})`}`);
    if (named !== NAMED[kind] || cleared > WITHIN_MS) wrong.push(`${kind}: ${took}; ${why}`);
  }
  await traffic.stop();
  await traffic.disconnect();
  for (const [kind, row] of matrix)
    t.diagnostic(`${kind.padEnd(15)}${[...row].map(([hop, count]) => `${hop} ${count}`).join(', ')}`);
  assert.deepEqual(wrong, []);
});

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
