import { faultFs } from '@weir/testkit';
import { nodeFs } from './node-fs.ts';
import { Spool } from './spool.ts';

/** A process as the edge is one: it says on standard output what it acknowledges, and a failed disk ends it. */
const faults: { fsyncError?: string } = {};
const spool = await Spool.open({
  dir: process.argv[2] as string,
  fs: faultFs(nodeFs, faults),
  maxBytes: 1 << 20,
  segmentBytes: 1 << 16,
  memoryBytes: 1 << 16,
  whenFull: 'block',
  onFatal: (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  },
});
for (let i = 0; i < 5; i++) {
  if (i === 3) faults.fsyncError = 'EIO';
  await new Promise<void>((resolve) => {
    const body = Buffer.from(`reading ${i}`);
    spool.append({ kind: 'reading', critical: false, partition: 0, count: 1, body }, (error) => {
      if (error === null) process.stdout.write(`acknowledged ${i}\n`);
      resolve();
    });
  });
}
