import { join } from 'node:path';
import type { RecordedDevice } from '@weir/load';
import { ROOT } from './paths.ts';

/**
 * The machine of the demo: a real recording whose last labelled window (from 2014-02-07 14:55) is the failure that
 * stopped the machine. It begins an hour of the recording before that, at one recorded step a second.
 */
export const demoMachine: RecordedDevice = {
  file: join(ROOT, 'load/recordings/machine_temperature_system_failure.csv'),
  site: 'plant-1',
  device: 'machine-1',
  metric: 'temperature',
  from: '2014-02-07 13:55:00',
};
