import { join } from 'node:path';
import type { RecordedDevice } from '@weir/load';
import { ROOT } from './paths.ts';

/**
 * The machine of the demo: a real recording whose last labelled window (from 2014-02-07 14:55) is the failure that
 * stopped the machine. It begins just before that, at one recorded step a second, so that the
 * machine cools down before one's eyes and the demo's rule fires within three minutes.
 */
export const demoMachine: RecordedDevice = {
  file: join(ROOT, 'load/recordings/machine_temperature_system_failure.csv'),
  site: 'plant-1',
  device: 'machine-1',
  metric: 'temperature',
  from: '2014-02-07 14:50:00',
};
