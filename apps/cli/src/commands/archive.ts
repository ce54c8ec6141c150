import { once } from 'node:events';
import { type ArchiveObject, type ArchiveQuery, type ArchiveReader, openArchive } from '@weir/connect-minio';
import { archiveBucket, READINGS_PARTITIONS } from '@weir/topology';
import { Command } from 'commander';
import { timeOf, wholeWithin } from '../duration.ts';
import { bytes, number, Output, type Terminal, table } from '../output.ts';
import { effectiveConfig } from '../settings.ts';

interface Options {
  readonly partition?: string;
  readonly from?: string;
  readonly to?: string;
  readonly device?: string;
  readonly limit?: string;
  readonly data?: string;
  readonly json?: boolean;
}

async function withArchive<T>(options: Options, work: (archive: ArchiveReader) => Promise<T>): Promise<T> {
  const { minio, namespace } = effectiveConfig(options.data);
  const archive = openArchive({ ...minio, bucket: archiveBucket(namespace) });
  try {
    return await work(archive);
  } finally {
    archive.close();
  }
}

function queryOf(options: Options): ArchiveQuery {
  const { partition, from, to } = options;
  return {
    ...(partition === undefined
      ? {}
      : { partition: wholeWithin('--partition', partition, 0, READINGS_PARTITIONS - 1) }),
    ...(from === undefined ? {} : { from: timeOf('--from', from) }),
    ...(to === undefined ? {} : { to: timeOf('--to', to) }),
  };
}

async function list(terminal: Terminal, options: Options): Promise<void> {
  const query = queryOf(options);
  const limit = wholeWithin('--limit', options.limit ?? '1000', 1, 1_000_000);
  const rows = await withArchive(options, async (archive) => {
    const found: (ArchiveObject & { readonly lines: number; readonly sha256: string })[] = [];
    for await (const object of archive.listObjects(query)) {
      const { count, sha256 } = await archive.info(object);
      found.push({ ...object, lines: count, sha256 });
      if (found.length >= limit) break;
    }
    return found;
  });
  new Output(terminal, options.json).result(rows, () =>
    table(
      [
        { title: 'KEY', value: (row) => row.key },
        { title: 'LINES', value: (row) => number(row.lines), align: 'right' },
        { title: 'SIZE', value: (row) => bytes(row.size), align: 'right' },
      ],
      rows,
      'The archive holds no objects of this range. An object is finished by size or age, see archiver.objectAge.',
    ),
  );
}

async function cat(terminal: Terminal, keys: readonly string[], options: Options): Promise<void> {
  const { out } = terminal;
  const limit =
    options.limit === undefined
      ? Number.POSITIVE_INFINITY
      : wholeWithin('--limit', options.limit, 1, Number.MAX_SAFE_INTEGER);
  await withArchive(options, async (archive) => {
    const objects = keys.length > 0 ? keys.map((key) => ({ key })) : archive.listObjects(queryOf(options));
    let printed = 0;
    for await (const object of objects) {
      for await (const { text, line } of archive.readLines(object)) {
        if (options.device !== undefined && line.device !== options.device) continue;
        if (printed++ >= limit) return;
        if (!out.write(`${text}\n`)) await once(out, 'drain');
      }
    }
  });
}

export function archiveCommand(terminal: Terminal): Command {
  const command = new Command('archive')
    .description('the raw archive: every accepted reading, byte for byte')
    .addHelpText(
      'after',
      `
Examples:
  $ weir archive ls --from 2026-01-31T12:00:00Z
  $ weir archive cat --device machine-1 --limit 5
  $ weir archive cat raw/v1/dt=2026-01-31/hour=12/p3-…-….ndjson.zst | jq .

Objects are zstd NDJSON; each is checked against its SHA-256 before a line of it is printed.`,
    );
  const range = (one: Command): Command =>
    one
      .option('--partition <n>', 'only this partition')
      .option('--from <time>', 'only what arrived from here on, to the hour')
      .option('--to <time>', 'only what arrived before')
      .option('--limit <n>', 'at most this many')
      .option('--data <dir>', 'data folder of `weir up`')
      .option('--json', 'print JSON (lines of the archive are JSON in any case)');
  range(command.command('ls').description('objects, by hour')).action((options: Options) =>
    list(terminal, options),
  );
  range(
    command
      .command('cat')
      .description('lines of the named objects, or of all in the range')
      .argument('[keys...]', 'objects'),
  )
    .option('--device <device>', 'only lines of this device')
    .action((keys: string[], options: Options) => cat(terminal, keys, options));
  return command;
}
