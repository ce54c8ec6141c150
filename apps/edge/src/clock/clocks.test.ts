import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareHlc, readingsOf } from '@weir/reading';
import { openRig } from '../testing/rig.ts';

test('every line and every event carries a stamp; they grow in the order of the spool', async (t) => {
  const rig = await openRig(t);
  const client = await rig.connect({ clientId: 'd1' });
  await client.accepted();
  for (let k = 1; k <= 30; k++) {
    await client.publish('telemetry/v1/plant/d1', `{"seq":${k},"value":1}`, { qos: 1, messageId: k });
  }
  await client.publish('events/v1/plant/d1/door', '{"open":true}', { qos: 1, messageId: 40 });
  const lines = await rig.envelopes();
  assert.equal(lines.length, 30);
  for (const [k, line] of lines.entries()) {
    assert.match(line.hlc ?? '', /^[0-9a-f]{16}$/);
    const before = lines[k - 1];
    if (before === undefined) continue;
    assert.equal(
      compareHlc({ hlc: before.hlc as string, edge: 'e' }, { hlc: line.hlc as string, edge: 'e' }),
      -1,
    );
  }
  const door = (await rig.events()).find(({ body }) => body.kind === 'door');
  assert.ok((door?.body.hlc as string) > (lines.at(-1)?.hlc as string));
});

test('stamps without a zone: refused with what to do, or read by the zone of the site and written so', async (t) => {
  const rig = await openRig(t, { env: { WEIR_EDGE__TIME_ZONES: 'berlin=Europe/Berlin' } });
  const post = async (
    site: string,
    payload: unknown,
  ): Promise<{ accepted: number; problems: { message: string }[] }> => {
    const response = await fetch(`${rig.url}/ingest/v1/${site}/d1`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(payload),
    });
    assert.equal(response.status, 202);
    return (await response.json()) as { accepted: number; problems: { message: string }[] };
  };
  const refused = await post('oslo', { ts: '2026-01-01T00:00:00', value: 1 });
  assert.equal(refused.accepted, 0);
  assert.match(refused.problems[0]?.message ?? '', /has no zone: send it with Z .* edge\.timeZones/);
  assert.equal((await rig.deadLetters())[0]?.headers['x-dlq-reason'], 'schema');

  await post('berlin', { ts: '2026-01-01T00:00:00', value: 1 });
  await post('berlin', { ts: '2026-01-01T00:00:00Z', value: 2 });
  await post('berlin', [
    { ts: '2026-07-01T00:00:00', value: 3 },
    { ts: '2099-07-01T00:00:00', value: 4 },
    { ts: '2026-01-01T00:00:00', value: 5 },
  ]);
  const lines = await rig.envelopes();
  assert.deepEqual(
    lines.map((line) => [
      line.utcOffset,
      line.skip,
      readingsOf(line).map(({ ts }) => new Date(ts).toISOString()),
    ]),
    [
      [60, undefined, ['2025-12-31T23:00:00.000Z']],
      [undefined, undefined, ['2026-01-01T00:00:00.000Z']],
      [[120, 120, 60], [1], ['2026-06-30T22:00:00.000Z', '2025-12-31T23:00:00.000Z']],
    ],
  );
  assert.equal((await rig.deadLetters())[1]?.headers['x-dlq-reason'], 'clock-skew');
});
