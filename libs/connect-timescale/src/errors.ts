import { errorMessage, WeirError } from '@weir/flow';

// https://www.postgresql.org/docs/17/errcodes-appendix.html
const TRANSIENT_CLASSES = new Set(['08', '40', '53', '57', '58']);
const DATA_CLASSES = new Set(['21', '22', '23']);
const UNAUTHORIZED = new Set(['28000', '28P01', '42501']);
const TIMED_OUT = new Set(['57014', '55P03']);
const LOST = new Set([
  // The server has ended a session that was paused in the middle of a transaction.
  '25P03',
  '25P04',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
]);
const LOST_TEXT =
  /connection terminated|connection ended|timeout exceeded when trying to connect|not queryable/i;

/** pg's own deadline: the server did not answer at all. */
const READ_TIMEOUT = /query read timeout/i;

/** The error of a database call as a `WeirError`; an error that is not the database's comes back as it is. */
export function mapError(doing: string, error: unknown): unknown {
  if (error instanceof WeirError) return error;
  const { code } = error as { code?: unknown };
  const message = `${doing}: ${errorMessage(error)}`;
  if (READ_TIMEOUT.test(message)) return new WeirError('WEIR_TIMEOUT', 'transient', message, error);
  if (typeof code === 'string' && (LOST.has(code) || LOST_TEXT.test(errorMessage(error))))
    return new WeirError('WEIR_CONNECTION_LOST', 'transient', message, error);
  if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)) return mapSqlState(code, message, error);
  if (LOST_TEXT.test(errorMessage(error)))
    return new WeirError('WEIR_CONNECTION_LOST', 'transient', message, error);
  return error;
}

function mapSqlState(state: string, message: string, cause: unknown): WeirError {
  if (TIMED_OUT.has(state)) return new WeirError('WEIR_TIMEOUT', 'transient', message, cause);
  if (UNAUTHORIZED.has(state)) {
    return new WeirError(
      'WEIR_UNAUTHORIZED',
      'fatal',
      `${message}. Check user and password in timescale.url.`,
      cause,
    );
  }
  // ALTER DATABASE … ALLOW_CONNECTIONS false: closed for maintenance.
  if (state === '55000' && message.includes('not currently accepting connections'))
    return new WeirError('WEIR_CONNECT_FAILED', 'transient', message, cause);
  const kind = state.slice(0, 2);
  if (TRANSIENT_CLASSES.has(kind)) return new WeirError('WEIR_CONNECTION_LOST', 'transient', message, cause);
  if (DATA_CLASSES.has(kind)) return new WeirError('WEIR_REJECTED', 'data', message, cause);
  return new WeirError('WEIR_STATE', 'fatal', message, cause);
}

/** SQLSTATE behind an error, or undefined. */
export function sqlState(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const { code } = at as { code?: unknown };
    if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)) return code;
  }
  return undefined;
}
