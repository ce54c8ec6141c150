import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readAlive, readEvent, readProgress } from './read-edge-message.ts';
import { scanHeartbeats } from './scan-heartbeats.ts';

function scan(body: string): [string, number][] {
  const found: [string, number][] = [];
  scanHeartbeats(Buffer.from(body), (device, at) => found.push([device, at]));
  return found;
}

/** As the edge writes it (`addLine` of apps/edge). */
const line = (device: string, at: number, value: number, unit: string): string =>
  `{"device":"${device}","ts":17,"seq":3,"value":${value},"unit":${JSON.stringify(unit)},"at":${at}}\n`;

test('property: device and arrival of every line, as JSON.parse finds them', () => {
  const name = fc
    .string({ minLength: 1, maxLength: 20, unit: 'grapheme' })
    .filter((text) => !/["\\\p{C}]/u.test(text));
  const at = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
  const unit = fc.constantFrom('C', '°C', '"at":5}', '","device":"x');
  fc.assert(
    fc.property(
      fc.array(fc.tuple(name, at, fc.double({ noNaN: true, noDefaultInfinity: true }), unit)),
      (lines) => {
        const body = lines.map((one) => line(...one)).join('');
        const parsed = body
          .split('\n')
          .filter(Boolean)
          .map((text) => JSON.parse(text) as { device: string; at: number });
        assert.deepEqual(
          scan(body),
          parsed.map((one) => [one.device, one.at]),
        );
      },
    ),
  );
});

test('property: whatever the bytes, it comes to an end and does not throw', () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => scanHeartbeats(Buffer.from(bytes), () => {})));
  const piece = fc.constantFrom('{"device":"', 'a', '"', ',"at":', '1', '}', '\n', '"at":1}');
  fc.assert(fc.property(fc.array(piece), (pieces) => void scan(pieces.join(''))));
});

test('lines of others say nothing, and do not hide those around them', () => {
  const good = line('a', 5, 1, 'C');
  for (const other of [
    '',
    '{}',
    '17',
    '{"device":"b"}',
    '{"at":1,"device":"b"}',
    '{"device":"b","at":"1"}',
    '{"device":"b',
    '"at":1}',
  ])
    assert.deepEqual(
      scan(`${good}${other}\n${good}`),
      [
        ['a', 5],
        ['a', 5],
      ],
      other,
    );
  assert.deepEqual(scan(good.trimEnd()), [['a', 5]], 'the last line needs no end');
});

test('what edges say of themselves, and what is not that', () => {
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  const said = { kind: 'edge-progress', edge: 'hall/3/s', at: 20, since: 10, hlc: '0001' };
  assert.deepEqual(readProgress(json(said)), { edge: 'hall/3', upTo: 20, since: 10, hlc: '0001' });
  const alive = { kind: 'alive', edge: 'e/s', at: 5, sites: { plant: { a: 3, b: 4 }, hall: { c: 5 } } };
  assert.deepEqual(
    readAlive(json(alive))?.map(({ site, device, edge, at }) => `${edge} ${site} ${device} ${at}`),
    ['e plant a 3', 'e plant b 4', 'e hall c 5'],
  );
  const event = { kind: 'connected', site: 'plant', device: 'a', edge: 'e/s', at: 7 };
  assert.deepEqual(readEvent(json(event)), { site: 'plant', device: 'a', edge: 'e', at: 7 });
  for (const kind of ['disconnected', 'will']) assert.equal(readEvent(json({ ...event, kind })), undefined);
  for (const bad of [
    '',
    '{',
    '17',
    'null',
    '{"edge":7}',
    '{"edge":"e","at":"1"}',
    '{"edge":"e","sites":{"p":{"a":"x"}}}',
  ]) {
    const body = Buffer.from(bad);
    assert.deepEqual(
      [readProgress(body), readAlive(body), readEvent(body)],
      [undefined, undefined, undefined],
      bad,
    );
  }
});
