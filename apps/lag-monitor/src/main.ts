import { runApp } from '@weir/lifecycle';
import { startFlow } from './flow.ts';

await runApp({ name: 'lag-monitor', adminPort: 'lagMonitorHttp', start: startFlow });
