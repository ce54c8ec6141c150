import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { atEnd, type Scope, spawnApp, until } from '@weir/testkit';
import { Bench, metric, random } from './testing.ts';

const OPTIONS = { outOfOrdernessMs: 2_000, allowedLatenessMs: 60_000 };
const SETTINGS = {
  WEIR_AGGREGATOR__OUT_OF_ORDERNESS: '2s',
  WEIR_AGGREGATOR__ALLOWED_LATENESS: '60s',
  WEIR_AGGREGATOR__IDLE_TIMEOUT: '2s',
  WEIR_AGGREGATOR__COMMIT_INTERVAL: '150ms',
  WEIR_KAFKA__SESSION_TIMEOUT: '6s',
};

function configFile(scope: Scope, derived: unknown): string {
  const folder = mkdtempSync(join(tmpdir(), 'weir-derived-'));
  atEnd(scope, async () => rmSync(folder, { recursive: true }));
  const file = join(folder, 'weir.yaml');
  writeFileSync(file, JSON.stringify({ derived }));
  return file;
}

test('derived metrics are windows like any other, also when their definition changes', {
  timeout: 600_000,
}, async (t) => {
  const bench = await Bench.open(t);
  const draw = random(7);
  const watts = [
    { metric: 'power', expression: 'voltage * current', unit: 'W' },
    { metric: 'ohms', expression: 'voltage / current', match: '*/meter-*' },
  ];
  const kilowatts = [{ metric: 'power', expression: 'voltage * current / 1000', unit: 'kW' }];
  const app = await spawnApp(t, 'aggregator', {
    ...bench.space.env,
    ...SETTINGS,
    WEIR_CONFIG: configFile(t, watts),
  });
  let zeros = 0;
  /** The lines as they were sent, and as if the device had sent the derived metrics itself. */
  const plain: string[][] = bench.lines.map(() => []);
  let at = Math.floor(Date.now() / 1_000) * 1_000 - 300_000;
  const more = async (seconds: number, scale: number): Promise<void> => {
    const from = bench.lines.map((lines) => lines.length);
    for (let i = 0; i < seconds; i++, at += 1_000) {
      const batch: { device: string; line: string }[] = [];
      for (let d = 0; d < 24; d++) {
        const device = d % 2 === 0 ? `meter-${d}` : `pump-${d}`;
        const ts = at + Math.floor(draw() * 1_000) - (draw() < 0.1 ? 45_000 : 0);
        const voltage = 230 + Math.round(draw() * 100) / 10;
        const current = draw() < 0.05 ? 0 : Math.round(draw() * 160) / 10;
        const values = draw() < 0.1 ? { voltage } : { voltage, current };
        const payload = JSON.stringify({ ts, seq: at + d, values });
        const publish = { device, at: at + d, mid: 1, payload };
        batch.push({ device, line: bench.line(publish) });
        if (draw() < 0.05) batch.push({ device, line: bench.line(publish) });
      }
      await bench.send(batch);
    }
    bench.lines.forEach((lines, partition) => {
      for (const line of lines.slice(from[partition])) {
        const envelope = JSON.parse(line) as {
          device: string;
          payload: { values: Record<string, number> };
        };
        const { values } = envelope.payload;
        const { voltage = 0, current } = values;
        if (current !== undefined) {
          values.power = scale === 1 ? voltage * current : (voltage * current) / scale;
          const ohms = scale === 1 && envelope.device.startsWith('meter-');
          if (ohms && current === 0) zeros++;
          else if (ohms) values.ohms = voltage / current;
        }
        plain[partition]?.push(JSON.stringify(envelope));
      }
    });
  };
  await more(40, 1);
  await bench.folded();
  assert.ok(zeros > 5);
  const count = (text: string, outcome: string): number =>
    metric(text, 'weir_derived_readings_total', { metric: 'ohms', outcome });
  // Rows are seen by others a moment before their writer counts them.
  const text = await until(
    async () => {
      const found = await app.metrics();
      return count(found, 'not_finite') >= zeros && count(found, 'made') > 300 && found;
    },
    { deadlineMs: 20_000, what: 'every division by zero to be counted' },
  );
  assert.equal(count(text, 'not_finite'), zeros);
  await more(5, 1);
  await bench.folded();
  await app.stop();
  await app.restart({ WEIR_CONFIG: configFile(t, kilowatts) });
  await more(20, 1_000);
  await bench.folded();
  await app.kill('SIGKILL');
  await app.restart();
  await more(20, 1_000);
  await bench.folded();
  const { rows } = await bench.assertExact(OPTIONS, 30_000, plain);
  t.diagnostic(`${rows} rows, ${zeros} divisions by zero`);
  const units = await bench.database.query<{ metric: string; unit: string | null }>(
    'reading units',
    `SELECT DISTINCT metric, unit FROM series WHERE metric IN ('power', 'ohms') ORDER BY metric`,
  );
  assert.deepEqual(units, [
    { metric: 'ohms', unit: null },
    { metric: 'power', unit: 'W' },
  ]);
});
