import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '@weir/config';
import type { RuleOf } from '@weir/config/alert-rules';

const root = join(import.meta.dirname, '../../..');
const RECORDING = 'machine_temperature_system_failure.csv';

export const DEMO_CONFIG = join(root, 'infra/demo/weir.yaml');

/** The rule of the demo's configuration. */
export function demoRule(): RuleOf<'threshold'> {
  const [rule] = loadConfig({ file: DEMO_CONFIG, env: {} }).alerter.rules;
  if (rule?.kind !== 'threshold') throw new Error(`${DEMO_CONFIG} has no threshold rule first`);
  return rule;
}

export interface RecordedReading {
  /** As in the recording, without a zone. */
  readonly time: string;
  readonly value: number;
}

export function recordedReadings(): RecordedReading[] {
  const lines = readFileSync(join(root, 'load/recordings', RECORDING), 'utf8')
    .trim()
    .split('\n')
    .slice(1);
  return lines.map((line) => {
    const [time = '', value = ''] = line.split(',');
    return { time, value: Number(value) };
  });
}

/** Times between which the recording is labelled as anomalous, oldest first. */
export function labelledWindows(): [from: string, to: string][] {
  const labels = JSON.parse(readFileSync(join(root, 'load/recordings/labels.json'), 'utf8')) as Record<
    string,
    [string, string][]
  >;
  return (labels[RECORDING] ?? []).map(([from, to]) => [from.slice(0, 19), to.slice(0, 19)]);
}
