import { runApp } from '@weir/lifecycle';
import { archiveReadings } from './flow.ts';

await runApp({ name: 'archiver', adminPort: 'archiverHttp', start: archiveReadings });
