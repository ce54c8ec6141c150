import { runApp } from '@weir/lifecycle';
import { aggregate } from './flow.ts';

await runApp({ name: 'aggregator', adminPort: 'aggregatorHttp', start: aggregate });
