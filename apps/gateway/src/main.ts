import { runApp } from '@weir/lifecycle';
import { startGateway } from './flow.ts';

await runApp({ name: 'gateway', adminPort: null, start: startGateway });
