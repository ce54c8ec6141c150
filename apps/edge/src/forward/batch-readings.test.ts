import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadConfig } from '@weir/config';
import fc from 'fast-check';
import { eventBody, type SpoolRecord } from '../spool/index.ts';
import { batchReadings, type RabbitmqRound, type RoutingSettings } from './batch-readings.ts';
import { lineAt, lineDevice } from './line.ts';
import { packRecords } from './pack-records.ts';

const folder = mkdtempSync(join(tmpdir(), 'weir-routing-'));
after(() => rmSync(folder, { recursive: true }));
/** Settings of edge.forward as a weir.yaml gives them. */
function routing(forward: Record<string, unknown> = {}): RoutingSettings {
  const file = join(folder, 'weir.yaml');
  writeFileSync(file, JSON.stringify({ edge: { forward } }));
  const { edge } = loadConfig({ env: {}, file });
  return { ...edge.forward, telemetryTopic: edge.topics.telemetry };
}
/** Both lanes of a round, the critical one first. */
function bothLanes(settings: RoutingSettings, derived: typeof POWER = []) {
  const [critical, normal] = (['critical', 'normal'] as const).map((lane) =>
    batchReadings(settings, derived, lane),
  );
  return (records: readonly SpoolRecord[]): RabbitmqRound => {
    const [first, second] = [critical?.(records), normal?.(records)] as [RabbitmqRound, RabbitmqRound];
    return {
      messages: [...first.messages, ...second.messages],
      readings: first.readings + second.readings,
      undecodable: [...first.undecodable, ...second.undecodable],
    };
  };
}
const POWER = [{ metric: 'power', expression: 'voltage * current', unit: 'W', match: '*/*' }];

let n = 0;
function record(text: string, more: Partial<SpoolRecord> = {}): SpoolRecord {
  n++;
  return {
    n,
    at: 5,
    kind: 'reading',
    critical: text.includes('"class":"critical"'),
    partition: n % 2,
    count: 1,
    body: Buffer.from(text),
    ...more,
  };
}
const line = (device: string, payload: string, extra = ''): string =>
  `{"v":1,"edge":"e/s","site":"hall","device":"${device}","via":"mqtt","n":${n + 1},"at":1763700000123${extra},"payload":${payload}}\n`;

test('readings of one key share a message; critical metrics travel apart', () => {
  const round = bothLanes(routing({ criticalMetrics: 'pressure' }))([
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

const keysOf = (forward: Record<string, unknown>, lines: readonly string[], derived = [] as typeof POWER) =>
  bothLanes(routing(forward), derived)(lines.map((text) => record(text))).messages.map(({ key }) => key);
const CRITICAL = ',"class":"critical"';

test('classes by topic, device, metric and value: the first rule that matches', () => {
  const classes = [
    { metric: 'pressure', below: 5, class: 'normal' },
    { topic: 'telemetry/v1/hall/+/smoke' },
    { device: 'pump-7' },
    { metric: 'pressure', above: 10, below: 0 },
    { site: 'elsewhere', metric: 'heat' },
  ];
  const smoke = line('a', '{"value":1}', CRITICAL).replace('"via"', '"metric":"smoke","via"');
  assert.deepEqual(keysOf({ classes }, [smoke]), ['telemetry.critical.hall.smoke']);
  assert.deepEqual(keysOf({ classes }, [line('a', '{"values":{"smoke":1}}', CRITICAL)]), [
    'telemetry.normal.hall.smoke',
  ]);
  assert.deepEqual(keysOf({ classes }, [line('pump-7', '{"values":{"heat":1,"pressure":4}}', CRITICAL)]), [
    'telemetry.critical.hall.heat',
    'telemetry.normal.hall.pressure',
  ]);
  const pressures = [4, 7, 11].map((value) => line('a', `{"values":{"pressure":${value}}}`, CRITICAL));
  assert.deepEqual(keysOf({ classes }, pressures), [
    'telemetry.critical.hall.pressure',
    'telemetry.normal.hall.pressure',
  ]);
});

test('a derived reading has a class of its own; without rules the class of the publish holds', () => {
  const watts = line('a', '{"ts":1763700000000,"seq":1,"values":{"voltage":230,"current":2}}');
  assert.deepEqual(keysOf({ classes: [{ metric: 'power', above: 400 }] }, [watts], POWER), [
    'telemetry.normal.hall.voltage',
    'telemetry.normal.hall.current',
    'telemetry.critical.hall.power',
  ]);
  assert.deepEqual(keysOf({}, [line('a', '{"values":{"heat":1}}', CRITICAL)]), [
    'telemetry.critical.hall.heat',
  ]);
});

test('a route per reading: one message each, the device in its key', () => {
  const round = bothLanes(routing({ perReading: [{ metric: 'door' }] }))([
    record(line('a', '[{"values":{"door":1,"heat":2}},{"values":{"door":0}}]')),
    record(line('b', '{"values":{"heat":3}}')),
  ]);
  assert.deepEqual(
    round.messages.map(({ key, headers }) => [key, headers?.count]),
    [
      ['telemetry.normal.hall.door.a', 1],
      ['telemetry.normal.hall.heat', 2],
      ['telemetry.normal.hall.door.a', 1],
    ],
  );
});

test('an event is a message of its own', () => {
  const body = eventBody({ key: 'events.hall.connect', body: { kind: 'connect' } });
  const round = bothLanes(routing())([record('', { kind: 'event', body, count: 0 })]);
  assert.deepEqual(
    round.messages.map((message) => [message.exchange, message.key, message.body.toString()]),
    [['weir.events', 'events.hall.connect', '{"kind":"connect"}']],
  );
});

test('derived readings travel under their own key, on top of those that were sent', () => {
  const payload = '{"ts":1763700000000,"seq":1,"values":{"voltage":230,"current":2}}';
  const round = bothLanes(routing(), POWER)([record(line('a', payload))]);
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

test('every reading is published by one lane: critical ones that were sent by theirs, all others by the normal one', () => {
  const settings = routing({
    classes: [{ metric: 'heat', above: 50 }, { metric: 'smoke' }, { metric: 'power', above: 400 }],
  });
  const lanes = {
    normal: batchReadings(settings, POWER, 'normal'),
    critical: batchReadings(settings, POWER, 'critical'),
  };
  const metric = fc.constantFrom('heat', 'smoke', 'voltage', 'current');
  const publish = fc.record({
    device: fc.constantFrom('a', 'b'),
    values: fc.dictionary(metric, fc.integer({ min: 0, max: 100 }), { minKeys: 1 }),
    kind: fc.constantFrom('reading', 'reading', 'reading', 'event', 'dead-letter', 'garbage'),
  });
  const isCritical = (name: string, value: number): boolean =>
    name === 'smoke' || (name === 'heat' && value > 50);
  fc.assert(
    fc.property(fc.array(publish, { maxLength: 12 }), (publishes) => {
      const wanted: Record<keyof typeof lanes, string[]> = { normal: [], critical: [] };
      let sent = 0;
      const records = publishes.map(({ device, values, kind }, i) => {
        if (kind === 'event') {
          const body = eventBody({ key: 'events.hall.connect', body: { i } });
          wanted.normal.push(`events.hall.connect ${i}`);
          return record('', { kind, body, count: 0 });
        }
        if (kind === 'dead-letter') return record('dead', { kind });
        if (kind === 'garbage') return record('no line', { critical: i % 2 === 0 });
        const all = Object.entries(values);
        sent += all.length;
        const critical = all.some(([name, value]) => isCritical(name, value));
        for (const [name, value] of all) {
          const lane = isCritical(name, value) ? 'critical' : 'normal';
          wanted[lane].push(`telemetry.${lane}.hall.${name} ${i} ${value}`);
        }
        const { voltage, current } = values as Record<string, number | undefined>;
        if (voltage !== undefined && current !== undefined) {
          const power = voltage * current;
          wanted.normal.push(`telemetry.${power > 400 ? 'critical' : 'normal'}.hall.power ${i} ${power}`);
        }
        const payload = JSON.stringify({ ts: 1_763_700_000_000, seq: i, values });
        return record(line(device, payload, critical ? CRITICAL : ''));
      });
      let readings = 0;
      for (const lane of ['normal', 'critical'] as const) {
        const round = lanes[lane](records);
        readings += round.readings;
        const garbage = publishes.filter(({ kind }) => kind === 'garbage').length;
        assert.equal(round.undecodable.length, lane === 'normal' ? garbage : 0);
        const got = round.messages.flatMap(({ key, body }) =>
          body
            .toString()
            .trimEnd()
            .split('\n')
            .map((text) => JSON.parse(text) as { i?: number; seq?: number; value?: number })
            .map(({ i, seq, value }) => (i === undefined ? `${key} ${seq} ${value}` : `${key} ${i}`)),
        );
        assert.deepEqual(got.toSorted(), wanted[lane].toSorted(), lane);
      }
      assert.equal(readings, sent);
    }),
    { numRuns: 200 },
  );
});
