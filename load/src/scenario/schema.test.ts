import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadScenario, parseScenario, scaled, scenarioNames } from './schema.ts';

const refused = (scenario: object, sentence: RegExp): void => {
  assert.throws(() => parseScenario(JSON.stringify(scenario), 'mine.yaml', '.'), sentence);
};
const sensor = { name: 'sensor', devices: 1, rate: 1, metrics: [{ name: 'm' }] };
const good = { name: 'mine', duration: '10s', classes: [sensor] };

test('every scenario that comes with Weir is one', () => {
  const names = scenarioNames();
  assert.deepEqual(
    ['smoke', 'steady-1hz', 'burst', 'reconnect-storm', 'disorder', 'overload', 'peak', 'diurnal'].filter(
      (name) => !names.includes(name),
    ),
    [],
  );
  for (const name of names) {
    const scenario = loadScenario(name);
    assert.equal(scenario.name, name);
    assert.ok(scenario.about.length > 10);
    assert.ok(scenario.thresholds.includes('lost == 0'));
  }
});

test('mistakes are told with their place, all at once', () => {
  refused({ ...good, classes: [{ ...sensor, rate: 0, qos: 3 }] }, /classes\.0\.rate[\s\S]*classes\.0\.qos/);
  refused({ ...good, duration: '10' }, /duration: expected a duration with its unit/);
  refused({ ...good, clases: [] }, /clases/);
  refused({ ...good, classes: [sensor, sensor] }, /classes\.1\.name: "sensor" stands twice/);
  refused({ ...good, classes: [{ ...sensor, name: 'probe' }] }, /the tool's own/);
  refused({ ...good, warmUp: '20s' }, /shorter than the run/);
  refused(
    { ...good, classes: [{ ...sensor, flapping: [{ share: 1, every: '2s', down: '3s' }] }] },
    /`down` is shorter/,
  );
  refused(
    {
      ...good,
      classes: [
        {
          ...sensor,
          ramp: [
            { at: '5s', factor: 1 },
            { at: '1s', factor: 2 },
          ],
        },
      ],
    },
    /grow/,
  );
  assert.throws(() => parseScenario('name: [', 'mine.yaml', '.'), /mine\.yaml: it is no YAML/);
  assert.throws(() => loadScenario('smok'), /Did you mean smoke\?/);
  assert.throws(() => loadScenario('./nowhere.yaml'), /no such file/);
});

test('a scenario is scaled in devices, rate and time', () => {
  const scenario = loadScenario('smoke');
  const small = scaled(scenario, { devices: 17, rate: 2, duration: 4_000, seed: 9 });
  assert.deepEqual(
    small.classes.map(({ devices }) => devices),
    [10, 5, 2],
  );
  assert.equal(small.classes[0]?.rate, 2 * (scenario.classes[0]?.rate ?? 0));
  assert.equal(small.duration, 4_000);
  assert.equal(small.seed, 9);
  const large = scaled(loadScenario('steady-1hz'), { devices: 20_000 });
  assert.equal(large.classes[0]?.connect.within, 20_000);
  assert.equal(large.warmUp, 25_000);
});
