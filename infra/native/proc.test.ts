import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { bootId, familyOf, identify, isSameProcess, listeningInodes, parseStat, portHolder } from './proc.ts';
import { readRecord, type ServerRecord, writeRecord } from './records.ts';

test('a process name with brackets and spaces does not shift the fields', () => {
  const rest = Array.from({ length: 40 }, (_, i) => String(i + 4)).join(' ');
  const stat = parseStat(`42 (a) b) S (x) S ${rest}`);
  assert.deepEqual(stat, {
    state: 'S',
    parent: 4,
    cpuSeconds: (14 + 15) / 100,
    childCpuSeconds: (16 + 17) / 100,
    startTime: 22,
    rssMiB: (24 * 4_096) / 2 ** 20,
  });
});

test('a process is the same only with its start time and boot', () => {
  const self = identify(process.pid)!;
  assert.equal(self.boot, bootId());
  assert.ok(isSameProcess(self));
  assert.equal(isSameProcess({ ...self, startTime: self.startTime - 1 }), false, 'a reused number');
  assert.equal(isSameProcess({ ...self, boot: 'an earlier boot' }), false);
});

test('a dead process, reaped or not, is gone', async () => {
  const child = spawn('sleep', ['60']);
  const id = identify(child.pid!)!;
  assert.ok(familyOf(process.pid).includes(id.pid));
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(isSameProcess(id), false);
  assert.equal(identify(id.pid), undefined);
});

test('the holder of a listening port is found', async (t) => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  assert.equal(portHolder(port)?.pid, process.pid);
  assert.match(portHolder(port)?.command ?? '', /node/);
});

test('only listeners count, not connections from or to the port', () => {
  const table = [
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
    '   0: 0100007F:2384 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1',
    '   1: 0100007F:2384 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 222 1',
    '   2: 0100007F:9999 0100007F:2384 01 00000000:00000000 00:00000000 00000000     0        0 333 1',
  ].join('\n');
  assert.deepEqual(listeningInodes(table, 0x2384), ['111']);
});

test('a stale or damaged record of a server is recognised and removed', (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'weir-records-'));
  t.after(() => rmSync(dataDir, { recursive: true, force: true }));
  const self = identify(process.pid)!;
  const record: ServerRecord = {
    wrapper: self,
    server: self,
    portOffset: 0,
    supervised: true,
    startedAt: '2026-01-01T00:00:00.000Z',
  };
  writeRecord(dataDir, 'redis', record);
  assert.deepEqual(readRecord(dataDir, 'redis'), record);
  writeRecord(dataDir, 'redis', { ...record, server: { ...self, startTime: 1 } });
  assert.equal(readRecord(dataDir, 'redis'), undefined);
  assert.deepEqual(readdirSync(join(dataDir, 'run')), []);
  mkdirSync(join(dataDir, 'run'), { recursive: true });
  writeFileSync(join(dataDir, 'run', 'kafka.json'), '{"half":');
  assert.equal(readRecord(dataDir, 'kafka'), undefined);
  assert.deepEqual(readdirSync(join(dataDir, 'run')), []);
});
