import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { atEnd, until } from '@weir/testkit';
import { WebSocket } from 'ws';
import { encodeConnect } from '../testing/raw-client.ts';
import { openRig } from '../testing/rig.ts';

const within = { deadlineMs: 20_000, everyMs: 5 };

test('a WebSocket peer has no more time for its HTTP request than for its CONNECT', async (t) => {
  const rig = await openRig(t, { env: { WEIR_EDGE__LIMITS__CONNECT_TIME: '200ms' } });
  let closed = 0;
  for (const begin of ['', 'GET / HTTP/1.1\r\nHost: edge\r\n']) {
    const socket = connect(rig.wsPort, '127.0.0.1');
    atEnd(t, () => {
      socket.destroy();
    });
    socket.on('close', () => closed++).resume();
    socket.write(begin);
  }
  await until(() => closed === 2, { ...within, what: 'both are closed' });
});

test('WebSocket messages that do not end are bounded together, as packets are', async (t) => {
  const rig = await openRig(t, { env: { WEIR_EDGE__LIMITS__PARTIAL_PACKETS: '1MiB' } });
  let closed = 0;
  for (let i = 0; i < 10; i++) {
    const socket = new WebSocket(`ws://127.0.0.1:${rig.wsPort}`, 'mqtt');
    atEnd(t, () => socket.terminate());
    socket.on('error', () => {}).on('close', () => closed++);
    await once(socket, 'open');
    socket.send(encodeConnect({ clientId: `w${i}` }));
    await once(socket, 'message');
    const begin = Buffer.alloc(14);
    begin[0] = 0x82; // binary, final
    begin[1] = 0x80 | 127; // masked, with a length of 64 bits
    begin.writeBigUInt64BE(250_000n, 2);
    const { _socket: under } = socket as unknown as { _socket: Socket };
    under.write(Buffer.concat([begin, Buffer.alloc(240_000)]));
  }
  // The last of them may be on their way still, and who is refused learns of it a moment later.
  await until(
    async () => {
      const refused = await rig.metric('weir_edge_refusals_total', { reason: 'partial-memory' });
      const kept = 10 - closed;
      assert.equal(refused, closed);
      assert.equal(await rig.metric('weir_edge_connections'), kept);
      assert.ok(kept > 0 && kept * 240_000 <= (1 << 20) + 240_000, `${kept} connections are left`);
      return true;
    },
    { ...within, what: 'the bound is kept' },
  );
});
