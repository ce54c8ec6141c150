import { runApp } from '@weir/lifecycle';
import { runEdge } from './flow.ts';

await runApp({
  name: 'edge',
  adminPort: null,
  start: async (context) => {
    await runEdge(context);
  },
});
