import { Spool } from './spool.ts';

/** An edge's spool in a process of its own, until the process is killed. */
await Spool.open({
  dir: process.argv[2] as string,
  maxBytes: 1 << 20,
  segmentBytes: 1 << 16,
  memoryBytes: 1 << 16,
  whenFull: 'block',
  onFatal: (error) => {
    throw error;
  },
});
process.stdout.write('open\n');
setInterval(() => {}, 60_000);
