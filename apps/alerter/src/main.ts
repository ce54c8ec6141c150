import { runApp } from '@weir/lifecycle';
import { startFlow } from './flow.ts';

await runApp({ name: 'alerter', adminPort: 'alerterHttp', start: startFlow });
