import { setPriority } from 'node:os';
import { runApp } from '@weir/lifecycle';
import { archiveReadings } from './flow.ts';

// On a full machine those go first who answer devices and tell alerts: what waits here is in the log.
setPriority(10);

await runApp({ name: 'archiver', adminPort: 'archiverHttp', start: archiveReadings });
