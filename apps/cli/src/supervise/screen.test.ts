import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { Output } from '../output.ts';
import type { Run } from './run-file.ts';
import { LiveScreen, renderLine, renderScreen } from './screen.ts';
import { STOPPED, viewOf } from './view.ts';

const output = new Output({ out: new PassThrough(), err: new PassThrough(), env: {} });
const startedAt = '2026-01-31T12:00:00.000Z';

function run(over: Partial<Run> = {}): Run {
  const process = { pid: 42, startTime: 1, boot: 'b' };
  return {
    supervisor: process,
    state: 'running',
    doing: '',
    servers: 'native',
    portOffset: 1000,
    edges: 1,
    startedAt,
    apps: [
      { name: 'edge', state: 'ready', detail: '', process, restarts: 2, logFile: 'edge.log' },
      { name: 'aggregator', state: 'ready', detail: '', process, restarts: 0, logFile: 'aggregator.log' },
    ],
    ...over,
  };
}
const NOBODY = { figures: null, edges: [], bottleneck: null };
const redis = { name: 'redis', title: 'Redis', state: 'ready', detail: '', pid: 7, ports: [7379] };
const figures = {
  readingsPerSecond: 201,
  acknowledgedPerSecond: 200.4,
  acknowledged: 12_345,
  windowsPerSecond: 240,
  windowsWritten: 999,
  objectsArchived: 3,
  bytesArchived: 2048,
  lag: 0,
  archiveLag: null,
  deadLetters: 1,
  firingAlerts: 0,
  connections: 201,
  liveClients: 2,
};

test('the screen shows states, addresses with the port offset, figures and restarts', () => {
  const text = renderScreen(
    viewOf(run(), [redis], { ...NOBODY, figures }),
    output,
    Date.parse(startedAt) + 65_000,
  ).join('\n');
  assert.match(text, /^● Weir is running, up 1 m 5 s\n/);
  assert.match(text, /● Redis +ready +7379 {2}pid 7/);
  assert.match(text, /● edge +ready +pid 42 {2}2 restarts/);
  assert.match(text, /MQTT +mqtt:\/\/127\.0\.0\.1:2883/);
  assert.match(text, /readings in +201\/s/);
  assert.match(text, /objects archived +3, 2\.0 KiB/);
  assert.match(text, /lag +aggregator 0, archiver – records/, 'unknown is not zero');
});

test('of several edges each has a line, with what is wrong with it', () => {
  const edge = {
    ...{ url: 'http://127.0.0.1:9081', state: 'ok' as const, detail: 'Takes readings in.' },
    ...{ readingsPerSecond: 120, acknowledgedPerSecond: 120, acknowledged: 5_000, connections: 60 },
  };
  const away = {
    ...edge,
    url: 'http://127.0.0.1:9201',
    state: 'down' as const,
    detail: 'It does not answer.',
  };
  const shown = (edges: (typeof edge | typeof away)[]): string =>
    renderScreen(viewOf(run(), [redis], { ...NOBODY, figures, edges }), output).join('\n');
  assert.doesNotMatch(shown([edge]), /edge at/);
  assert.match(shown([edge, away]), /edge at 127\.0\.0\.1:9081 +120\/s in, 60 connections\n/);
  assert.match(shown([edge, away]), /edge at 127\.0\.0\.1:9201 +down: It does not answer\./);
});

test('the screen names the hop that holds the others back', () => {
  const bottleneck = {
    hop: 'timescale' as const,
    since: startedAt,
    why: 'rule 3: it waits 95 % of the time',
  };
  const view = viewOf(run(), [redis], { ...NOBODY, figures, bottleneck });
  const text = renderScreen(view, output, Date.parse(startedAt) + 12_000).join('\n');
  assert.match(text, /held back by +timescale for 12\.0 s: rule 3: it waits 95 % of the time/);
  assert.match(renderLine(view), /held back by timescale/);
});

test('one part that is not ready makes the whole degraded, and is named', () => {
  const waiting = { ...run().apps[0]!, state: 'waiting' as const, detail: 'kafka: not connected' };
  const view = viewOf(run({ apps: [waiting] }), [redis], NOBODY);
  assert.equal(view.state, 'degraded');
  assert.match(
    renderLine(view),
    /^degraded · in – .* restarts 2 · not ready: edge waiting \(kafka: not connected\)$/,
  );
  assert.equal(viewOf(run(), [{ ...redis, state: 'stopped' }], NOBODY).state, 'degraded');
  assert.equal(viewOf(run({ state: 'starting' }), [], NOBODY).state, 'starting');
  assert.deepEqual(renderScreen(STOPPED, output), ['○ Weir is stopped']);
});

test('a live screen is drawn over itself and never scrolls', () => {
  let text = '';
  const screen = new LiveScreen((chunk) => {
    text += chunk;
  });
  screen.draw(['a', 'b', 'c'], 50);
  screen.draw(['d'], 50);
  assert.ok(text.includes('\u001b[3A\u001b[2Kd\n\u001b[J'));
  text = '';
  screen.draw(
    Array.from({ length: 100 }, (_, i) => String(i)),
    10,
  );
  assert.equal(text.split('\n').length - 1, 9, 'no more lines than the terminal has');
});
