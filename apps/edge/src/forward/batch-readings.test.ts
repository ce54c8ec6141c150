import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deriving } from '@weir/windows';
import { eventBody, type SpoolRecord } from '../spool/index.ts';
import { batchReadings } from './batch-readings.ts';
import { lineAt, lineDevice } from './line.ts';
import { packRecords } from './pack-records.ts';

let n = 0;
function record(text: string, more: Partial<SpoolRecord> = {}): SpoolRecord {
  n++;
  return {
    n,
    at: 5,
    kind: 'reading',
    critical: false,
    partition: n % 2,
    count: 1,
    body: Buffer.from(text),
    ...more,
  };
}
const line = (device: string, payload: string, extra = ''): string =>
  `{"v":1,"edge":"e/s","site":"hall","device":"${device}","via":"mqtt","n":${n + 1},"at":1763700000123${extra},"payload":${payload}}\n`;

test('readings of one key share a message; critical metrics travel apart', () => {
  const round = batchReadings(new Set(['pressure']))([
    record(
      line('a', '{"ts":1763700000000,"seq":1,"values":{"pressure":2,"heat":-0.5}}', ',"class":"critical"'),
    ),
    record(line('b', '{"value":1e21,"unit":"\\u00b0C"}', ',"class":"critical"')),
    record(line('c', '{"values":{"heat":3}}')),
    record('not a line'),
    record('dead', { kind: 'dead-letter' }),
  ]);
  assert.equal(round.readings, 4);
  assert.deepEqual(
    round.messages.map(({ key, body }) => [key, body.toString()]),
    [
      [
        'telemetry.critical.hall.pressure',
        '{"device":"a","ts":1763700000000,"seq":1,"value":2,"at":1763700000123}\n',
      ],
      [
        'telemetry.normal.hall.heat',
        '{"device":"a","ts":1763700000000,"seq":1,"value":-0.5,"at":1763700000123}\n{"device":"c","ts":1763700000123,"value":3,"at":1763700000123}\n',
      ],
      [
        'telemetry.normal.hall.value',
        '{"device":"b","ts":1763700000123,"value":1e+21,"unit":"°C","at":1763700000123}\n',
      ],
    ],
  );
  assert.equal(round.undecodable.length, 1);
  for (const { body } of round.messages)
    for (const text of body.toString().trimEnd().split('\n')) assert.doesNotThrow(() => JSON.parse(text));
});

test('an event is a message of its own', () => {
  const body = eventBody({ key: 'events.hall.connect', body: { kind: 'connect' } });
  const round = batchReadings(new Set())([record('', { kind: 'event', body, count: 0 })]);
  assert.deepEqual(
    round.messages.map((message) => [message.exchange, message.key, message.body.toString()]),
    [['weir.events', 'events.hall.connect', '{"kind":"connect"}']],
  );
});

test('derived readings travel under their own key, on top of those that were sent', () => {
  const derive = deriving([{ metric: 'power', expression: 'voltage * current', unit: 'W', match: '*/*' }]);
  const payload = '{"ts":1763700000000,"seq":1,"values":{"voltage":230,"current":2}}';
  const round = batchReadings(new Set(), derive)([record(line('a', payload))]);
  assert.equal(round.readings, 2);
  assert.deepEqual(round.messages.map(({ key, body }) => [key, body.toString()]).at(-1), [
    'telemetry.normal.hall.power',
    '{"device":"a","ts":1763700000000,"seq":1,"value":460,"unit":"W","at":1763700000123}\n',
  ]);
});

test('packing keeps the order within a partition; unpacked records carry the device as key', () => {
  n = 0;
  const records = ['a', 'b', 'a', 'b'].map((device, i) => record(line(device, String(i))));
  const packed = packRecords({ packed: true, deadLetterPartitions: 3 })(records);
  assert.deepEqual(
    packed.packs.map(({ partition, lines, record: { key } }) => [partition, lines.length, key]),
    [
      [1, 2, null],
      [0, 2, null],
    ],
  );
  assert.equal(packed.packs[0]?.record.value.toString(), `${records[0]?.body}${records[2]?.body}`);
  assert.equal(packed.packs[0]?.record.timestamp, 1_763_700_000_123);
  const single = packRecords({ packed: false, deadLetterPartitions: 3 })(records);
  assert.deepEqual(
    single.packs.map(({ record: { key } }) => key?.toString()),
    ['a', 'b', 'a', 'b'],
  );
});

test('fields of a line are found without parsing it, whatever the payload says', () => {
  const text = Buffer.from(line('pump', '{"at":9,"device":"other"}'));
  assert.equal(lineAt(text, 0), 1_763_700_000_123);
  assert.equal(lineDevice(text)?.toString(), 'pump');
  assert.equal(lineAt(Buffer.from('no line'), 7), 7);
  assert.equal(lineDevice(Buffer.from('no line')), null);
});
