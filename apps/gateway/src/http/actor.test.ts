import assert from 'node:assert/strict';
import { test } from 'node:test';
import { actorOf } from './actor.ts';

test('who asks is the header in UTF-8, without control characters and not longer than 200, else the address', () => {
  const ip = '10.0.0.7';
  const named = (actor?: string) =>
    actorOf({ ip, headers: actor === undefined ? {} : { 'x-weir-actor': actor } });
  const sent = (text: string): string => Buffer.from(text).toString('latin1');
  assert.equal(named('ada@host'), 'ada@host');
  assert.equal(named(sent('zoë@höst')), 'zoë@höst');
  assert.equal(named('zo\xeb'), 'zoë', 'a client that sends Latin-1');
  assert.equal(named('\x1b[31mred'), '[31mred');
  assert.equal(named(sent('ü'.repeat(300))), 'ü'.repeat(200));
  for (const nobody of [undefined, '', '  ']) assert.equal(named(nobody), ip);
});
