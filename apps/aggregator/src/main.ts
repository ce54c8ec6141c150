import { setPriority } from 'node:os';
import { runApp } from '@weir/lifecycle';
import { aggregate } from './flow.ts';

// On a full machine those go first who answer devices and tell alerts: what waits here is in the log.
setPriority(5);

await runApp({ name: 'aggregator', adminPort: 'aggregatorHttp', start: aggregate });
