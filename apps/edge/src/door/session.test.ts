import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Session, TopicRoom } from './session.ts';

test('topics are remembered while there is room, by connection and altogether; who ends gives room back', () => {
  let resolved = 0;
  const room = new TopicRoom(100);
  const open = (): Session =>
    new Session(
      'd',
      { device: 'd', site: 'plant', mayPublish: () => true, maySubscribe: () => false },
      new Map(),
      {
        edge: 'e/1',
        via: 'mqtt',
        zoneOf: () => undefined,
        classesOf: () => undefined,
        room,
        read: (topic) => {
          resolved++;
          return { kind: 'telemetry', site: 'plant', device: topic, metric: 't' } as never;
        },
      },
    );
  const use = (session: Session, topics: number): number => {
    const before = resolved;
    for (let i = 0; i < topics; i++) session.topic(`t/${i}`);
    return resolved - before;
  };
  const wide = open();
  assert.deepEqual([use(wide, 150), use(wide, 150)], [150, 0], '64 of its own and 86 of all');
  const other = open();
  assert.deepEqual([use(other, 78), use(other, 78)], [78, 0]);
  assert.ok(use(other, 200) > 0 && use(other, 200) > 0, 'no room is left: it begins anew each time');
  other.end();
  wide.end();
  assert.deepEqual([use(open(), 164), room.take()], [164, false], 'all of it was given back');
});
