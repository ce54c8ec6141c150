import { runApp } from '@weir/lifecycle';
import { startFlow } from './flow.ts';

await runApp({ name: 'dead-letters', adminPort: 'deadLettersHttp', start: startFlow });
