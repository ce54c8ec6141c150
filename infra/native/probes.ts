import { connect } from 'node:net';

const ANSWER_MS = 2_000;

/** Sends bytes to a loopback port and resolves to the first `enough` bytes of the answer; rejects when none comes. */
function exchange(port: number, request: Buffer, enough: (answer: Buffer) => boolean): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let answer = Buffer.alloc(0);
    const socket = connect({ host: '127.0.0.1', port });
    const fail = (error: Error) => {
      socket.destroy();
      reject(error);
    };
    socket.setTimeout(ANSWER_MS, () => fail(new Error(`no answer on port ${port} within ${ANSWER_MS} ms`)));
    socket.on('error', fail);
    socket.on('close', () => fail(new Error(`port ${port} closed the connection`)));
    socket.on('connect', () => socket.write(request));
    socket.on('data', (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk]);
      if (!enough(answer)) return;
      socket.destroy();
      resolve(answer);
    });
  });
}

/** Kafka metadata request (version 1, no topics): answers only when the broker has joined its cluster. */
function metadataRequest(): Buffer {
  const client = Buffer.from('weir-probe');
  const body = Buffer.alloc(2 + 2 + 4 + 2 + client.length + 4);
  let at = body.writeInt16BE(3, 0); // Metadata
  at = body.writeInt16BE(1, at);
  at = body.writeInt32BE(1, at); // correlation id
  at = body.writeInt16BE(client.length, at);
  at += client.copy(body, at);
  body.writeInt32BE(0, at); // no topics
  const size = Buffer.alloc(4);
  size.writeInt32BE(body.length);
  return Buffer.concat([size, body]);
}

export async function kafkaAnswers(port: number): Promise<void> {
  const answer = await exchange(
    port,
    metadataRequest(),
    (bytes) => bytes.length >= 4 && bytes.length >= 4 + bytes.readInt32BE(0),
  );
  // Size, correlation id, then the array of brokers.
  if (answer.length < 12 || answer.readInt32BE(8) < 1)
    throw new Error('Kafka has no broker in its cluster yet');
}

export async function rabbitAnswers(port: number, managementUrl: string, vhost: string): Promise<void> {
  const answer = await exchange(
    port,
    Buffer.from('AMQP\0\0\x09\x01', 'latin1'),
    (bytes) => bytes.length >= 7,
  );
  // The first frame is Connection.Start: a method frame on channel 0.
  if (answer[0] !== 1) throw new Error('RabbitMQ answered with something other than AMQP 0-9-1');
  const url = new URL(`/api/vhosts/${encodeURIComponent(vhost)}`, managementUrl);
  const authorization = `Basic ${Buffer.from(`${url.username}:${url.password}`).toString('base64')}`;
  url.username = '';
  url.password = '';
  const response = await fetch(url, { headers: { authorization }, signal: AbortSignal.timeout(ANSWER_MS) });
  if (!response.ok)
    throw new Error(`RabbitMQ management answered ${response.status} about virtual host ${vhost}`);
  const state = (await response.json()) as { cluster_state?: Record<string, string> };
  const states = Object.values(state.cluster_state ?? {});
  if (!states.includes('running'))
    throw new Error(`virtual host ${vhost} is ${states.join(', ') || 'not up'}`);
}

export async function minioAnswers(url: string): Promise<void> {
  const response = await fetch(new URL('/minio/health/ready', url), {
    signal: AbortSignal.timeout(ANSWER_MS),
  });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`MinIO answered ${response.status}`);
}

export async function redisAnswers(port: number, password: string): Promise<void> {
  const request = Buffer.from(`AUTH ${password}\r\nPING\r\n`);
  const answer = await exchange(port, request, (bytes) => bytes.toString('latin1').split('\r\n').length > 2);
  const text = answer.toString('latin1');
  if (!text.includes('+PONG')) throw new Error(`Redis answered ${text.trim().slice(0, 80)}`);
}
