import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig, masked, settings, settingsTable, unprovenLevels } from './index.ts';

test('variables lie over the defaults, with units and lists', () => {
  const config = loadConfig({
    env: {
      WEIR_KAFKA__BROKERS: 'a:9092,b:9092',
      WEIR_EDGE__SPOOL__MAX_SIZE: '64MiB',
      WEIR_PORTS__OFFSET: '1000',
      WEIR_EDGE__TLS__CERT_FILE: '/certs/edge.pem',
      WEIR_EDGE__ANONYMOUS: 'true',
    },
  });
  assert.deepEqual(config.kafka.brokers, ['a:9092', 'b:9092']);
  assert.equal(config.edge.spool.maxSize, 64 * 1024 * 1024);
  assert.equal(config.ports.offset, 1000);
  assert.equal(config.edge.tls.certFile, '/certs/edge.pem');
  assert.equal(config.edge.anonymous, true);
  assert.equal(config.kafka.sessionTimeout, 10_000);
});

test('an unknown key stops the start and names the nearest right one', () => {
  assert.throws(
    () => loadConfig({ env: { WEIR_EDGE__SPOOL__MAXSIZE: '1GiB' } }),
    /edge\.spool\.maxsize: no such setting; did you mean "maxSize"/,
  );
  assert.throws(() => loadConfig({ env: { WEIR_KAFFKA__BROKERS: 'a' } }), /did you mean "kafka"/);
});

test('a value without its unit names the setting and gives an example', () => {
  assert.throws(
    () => loadConfig({ env: { WEIR_AGGREGATOR__COMMIT_INTERVAL: '100' } }),
    /aggregator\.commitInterval: .*250ms/,
  );
});

test('a secret comes from a file and is never printed', () => {
  assert.throws(
    () => loadConfig({ env: { WEIR_MINIO__SECRET_KEY_FILE: '/nowhere' } }),
    /WEIR_MINIO__SECRET_KEY_FILE names the file/,
  );
  const config = loadConfig({ env: { WEIR_MINIO__SECRET_KEY_FILE: import.meta.filename } });
  assert.match(config.minio.secretKey, /import assert/);
  assert.doesNotMatch(JSON.stringify(masked(config)), /import assert|weir:weir/);
});

/** The configuration of a weir.yaml with this text. */
function load(text: string): ReturnType<typeof loadConfig> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-config-'));
  try {
    writeFileSync(join(folder, 'weir.yaml'), text);
    return loadConfig({ file: join(folder, 'weir.yaml'), env: {} });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('roll-ups are grouped by what devices have in common', () => {
  const devices = 'devices: [{match: "plant-1/pump-*", tags: {line: a}}]';
  assert.deepEqual(load('{}').rollups.by, ['site', 'fleet']);
  assert.deepEqual(load(`${devices}\nrollups: {by: [line, site+line]}`).rollups.by, ['line', 'site+line']);
  assert.deepEqual(load('rollups: {by: []}').rollups.by, []);
  assert.throws(() => load(`${devices}\nrollups: {by: [lien]}`), /rollups\.by\.0: .*did you mean "line"/);
  assert.throws(() => load('rollups: {by: [flet]}'), /did you mean "fleet"/);
  assert.throws(() => load('rollups: {by: [site, site]}'), /twice/);
  assert.throws(() => load('devices: [{match: pump, tags: {line: a}}]'), /a site and a device/);
  assert.throws(() => load('devices: [{match: a/b, tags: {site: a}}]'), /another name/);
});

test('derived metrics are checked before anything starts', () => {
  const of = (...metrics: [string, string][]) =>
    load(JSON.stringify({ derived: metrics.map(([metric, expression]) => ({ metric, expression })) }))
      .derived;
  assert.deepEqual(of(['power', 'voltage * current']), [
    { metric: 'power', expression: 'voltage * current', match: '*/*' },
  ]);
  assert.equal(of(['power', 'a * b'], ['double', 'power * 2']).length, 2);
  assert.throws(() => of(['power', 'voltage *']), /derived\.0\.expression: .*Expected expression after \*/);
  assert.throws(() => of(['power', 'pow(a, 2)']), /no such function; there are .*sqrt/);
  assert.throws(() => of(['power', 'power + 1']), /made of itself/);
  assert.throws(() => of(['double', 'power * 2'], ['power', 'a * b']), /"power" is defined further down/);
  assert.throws(() => of(['a', 'b'], ['a', 'c']), /"a" is defined twice/);
  assert.throws(() => of(['a.b', 'c']), /derived\.0\.metric: no spaces/);
});

test('every setting has a description and the table holds all of them', () => {
  for (const setting of settings()) assert.notEqual(setting.description, '', setting.key);
  assert.equal(settingsTable().split('\n').length, settings().length + 2);
  assert.match(settingsTable(['edge.spool']), /`edge\.spool\.maxSize` \| size \| `2GiB`/);
});

test('lifetimes that could not keep what Weir promises are refused, with both values', () => {
  const refused = (env: Record<string, string>, message: RegExp): void =>
    assert.throws(() => loadConfig({ env }), message);
  refused({ WEIR_RETENTION__WINDOWS__1S: '5m' }, /windows\.1s: 300 s is too short.* 610 s/);
  refused({ WEIR_AGGREGATOR__ALLOWED_LATENESS: '2h' }, /windows\.1s: 3600 s is too short.* 7210 s/);
  refused(
    { WEIR_RETENTION__WINDOWS__5M: '1d' },
    /windows\.5m: must not be shorter than retention\.windows\.1m/,
  );
  refused({ WEIR_RETENTION__LOG: '10m' }, /retention\.log: 600 s is too short.* 4380 s/);
  refused({ WEIR_RETENTION__ARCHIVE: '1d' }, /retention\.archive: 86400 s is shorter than retention\.log/);
  refused(
    { WEIR_RETENTION__ARCHIVE: '20d', WEIR_RETENTION__ARCHIVE_LOCK: 'governance' },
    /locked objects cannot expire/,
  );
  const { retention } = loadConfig({ env: { WEIR_RETENTION__ARCHIVE: '60d' } });
  assert.deepEqual(unprovenLevels(retention), ['15m', '1h']);
  assert.equal(loadConfig({ env: {} }).retention.archive, Number.POSITIVE_INFINITY);
});

test('secrets inside lists are masked as well', () => {
  const file = join(mkdtempSync(join(tmpdir(), 'weir-config-')), 'weir.yaml');
  writeFileSync(
    file,
    JSON.stringify({
      alerter: {
        notifiers: [
          {
            id: 'ops',
            kind: 'webhook',
            url: 'https://hooks.test/token',
            secret: 'a-secret-of-enough-length',
          },
          { id: 'mail', kind: 'smtp', host: 'h', from: 'a@b', to: 'c@d', username: 'me', password: 'hidden' },
        ],
      },
    }),
  );
  const text = JSON.stringify(masked(loadConfig({ file, env: {} })));
  assert.doesNotMatch(text, /token|a-secret|hidden/);
  assert.match(text, /"username":"me"/);
});
