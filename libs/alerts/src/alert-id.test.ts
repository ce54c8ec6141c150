import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { alertId } from './alert-id.ts';

const series = { rule: 'r', site: 's', device: 'd', metric: 'm' };

test('an alert id is a UUID of version 8 and does not change between versions of Weir', () => {
  assert.equal(alertId(series, 1_391_822_700_000), '34b2054f-fd3f-887d-bc9c-83dedba00648');
});

test('property: different series or beginnings have different ids', () => {
  const name = fc.string({ minLength: 1, maxLength: 3, unit: fc.constantFrom('a', 'b', '/') });
  const one = fc.tuple(fc.record({ rule: name, site: name, device: name, metric: name }), fc.nat({ max: 3 }));
  fc.assert(
    fc.property(one, one, (a, b) => {
      const same = JSON.stringify(a) === JSON.stringify(b);
      assert.equal(alertId(...a) === alertId(...b), same);
      assert.match(alertId(...a), /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    }),
  );
});
