import { errorMessage, WeirError } from '@weir/flow';
import { RetryLater } from './destination.ts';

const KEPT_BYTES = 2_048;
/** Statuses with which a receiver says that this request is wrong and will be wrong again. */
const REFUSED = new Set([400, 405, 410, 413, 415, 422]);

/** Retry-After, RFC 9110 10.2.3: seconds or a date; undefined when it is neither. In milliseconds from now. */
export function retryAfterMs(header: string | null, now = Date.now()): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1_000;
  const at = header.endsWith('GMT') ? Date.parse(header) : Number.NaN;
  return Number.isFinite(at) ? Math.max(0, at - now) : undefined;
}

/** The beginning of an answer's body in one line; the rest is not read. */
async function beginning(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  if (reader === undefined) return '';
  const chunks: Uint8Array[] = [];
  let size = 0;
  while (size < KEPT_BYTES) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    size += value.length;
  }
  await reader.cancel().catch(() => undefined);
  return Buffer.concat(chunks).subarray(0, KEPT_BYTES).toString().replace(/\s+/g, ' ').trim();
}

export interface PostRequest {
  /** What is done, for the error: "telling https://host". Without secrets of the address. */
  readonly doing: string;
  readonly url: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/**
 * POSTs JSON; resolves with status and the beginning of the answer when it is 2xx. Redirects are not followed: the
 * signature is for this address. Throws a `WeirError`: data when the receiver refuses the request itself, else
 * transient, `RetryLater` when it names a time.
 */
export async function post({ doing, url, body, headers, signal }: PostRequest): Promise<string> {
  let response: Response;
  let said: string;
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'weir', ...headers },
      body,
      signal,
      redirect: 'manual',
    });
    said = await beginning(response);
  } catch (error) {
    const late = signal.aborted;
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    const why = late ? 'no answer before the deadline' : errorMessage(cause);
    throw new WeirError(
      late ? 'WEIR_TIMEOUT' : 'WEIR_CONNECT_FAILED',
      'transient',
      `${doing}: ${why}`,
      error,
    );
  }
  const answer = `HTTP ${response.status}${said === '' ? '' : `: ${said.slice(0, 300)}`}`;
  if (response.ok) return answer;
  const message = `${doing}: the receiver answered ${answer}`;
  if (REFUSED.has(response.status)) throw new WeirError('WEIR_REJECTED', 'data', message);
  const wait = retryAfterMs(response.headers.get('retry-after'));
  if (wait !== undefined) throw new RetryLater(message, wait);
  throw new WeirError('WEIR_REJECTED', 'transient', message);
}
