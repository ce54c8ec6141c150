import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { covers, matches } from './filters.ts';
import { devicePrincipal } from './rights.ts';

test('matching follows section 4.7 of the standard', () => {
  for (const [filter, topic, expected] of [
    ['sport/tennis/player1/#', 'sport/tennis/player1', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
    ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
    ['sport/+', 'sport', false],
    ['sport/+', 'sport/', true],
    ['+/+', '/finance', true],
    ['/+', '/finance', true],
    ['+', '/finance', false],
    ['#', '$SYS/a', false],
    ['+/a', '$SYS/a', false],
    ['$SYS/#', '$SYS/a', true],
  ] as const) {
    assert.equal(matches(filter, topic), expected, `${filter} ${topic}`);
  }
});

test('property: what a covered filter matches is matched by the covering one', () => {
  const level = fc.constantFrom('a', 'b', '+');
  const filter = fc
    .tuple(fc.array(level, { minLength: 1, maxLength: 4 }), fc.boolean())
    .map(([levels, open]) => [...levels, ...(open ? ['#'] : [])].join('/'));
  const topic = fc
    .array(fc.constantFrom('a', 'b', ''), { minLength: 1, maxLength: 5 })
    .map((l) => l.join('/'));
  fc.assert(
    fc.property(filter, filter, topic, (wide, narrow, name) => {
      fc.pre(covers(wide, narrow) && matches(narrow, name));
      assert.ok(matches(wide, name), `${wide} covers ${narrow}, which matches ${name}`);
    }),
  );
});

test('a device subscribes to its own commands and nothing else', () => {
  const templates = {
    telemetry: 't/{site}/{device}',
    events: 'e/{site}/{device}/{kind}',
    commands: 'cmd/v1/{site}/{device}/{name}',
  };
  const { maySubscribe } = devicePrincipal(
    { device: 'd1', site: 's', publish: [], subscribe: ['news/+'] },
    templates,
  );
  for (const [filter, expected] of [
    ['cmd/v1/s/d1/+', true],
    ['cmd/v1/s/d1/#', true],
    ['cmd/v1/s/d1/reboot', true],
    ['cmd/v1/s/+/reboot', false],
    ['cmd/v1/s/d2/+', false],
    ['cmd/#', false],
    ['#', false],
    ['+/+/+/+/+', false],
    ['news/today', true],
    ['news/#', false],
    ['$SYS/#', false],
  ] as const) {
    assert.equal(maySubscribe(filter), expected, filter);
  }
});
