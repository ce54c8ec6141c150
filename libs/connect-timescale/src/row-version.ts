import { WeirError } from '@weir/flow';
import { LEVELS } from '@weir/topology';
import type { Runner } from './database.ts';

/**
 * The form of window rows that this code writes, and the newest that it reads. A migration that raises it changes the
 * default of `schema_version` and raises every epoch of `partition_offsets`: rows then bear the new version, those
 * that were there keep theirs, and a writer of the old form is fenced and does not claim again.
 */
const ROW_VERSION = 1;

/** Throws a fatal error when the rows have a newer form, a transient one while the schema is not up to date. */
export async function checkRowVersion(runner: Runner): Promise<void> {
  const [row] = await runner.query<{ version: number }>(
    'reading the schema version of window rows',
    `SELECT substring(column_default FROM '\\d+')::int AS version FROM information_schema.columns
      WHERE table_schema = current_schema() AND table_name = $1 AND column_name = 'schema_version'`,
    [LEVELS[0].table],
  );
  if (row?.version === ROW_VERSION) return;
  if (row === undefined || row.version < ROW_VERSION) {
    throw new WeirError(
      'WEIR_STATE',
      'transient',
      'the tables of the windows are those of an older version of Weir: `weir topology apply` brings them up to date',
    );
  }
  throw new WeirError(
    'WEIR_STATE',
    'fatal',
    `window rows are written in form ${row.version}, and this version of Weir knows ${ROW_VERSION}: start the newer version`,
  );
}
