import { setTimeout as delay } from 'node:timers/promises';
import { errorMessage, WeirError } from '@weir/flow';
import { type MetricsPage, parseMetrics } from '@weir/observe';

/** What a part answered, or why it did not. */
export type Probe<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly why: string };

/** Runs `work`; what fails or takes longer than `deadlineMs` is an answer too. Never rejects. */
export async function probe<T>(
  deadlineMs: number,
  work: (signal: AbortSignal) => Promise<T>,
  onFailure: (error: unknown) => void,
): Promise<Probe<T>> {
  const abort = new AbortController();
  const late = delay(deadlineMs, undefined, { signal: abort.signal, ref: false }).then(() => {
    throw new WeirError('WEIR_TIMEOUT', 'transient', `no answer within ${deadlineMs} ms`);
  });
  // The loser of the race must not become an unhandled rejection.
  late.catch(() => undefined);
  try {
    return { ok: true, value: await Promise.race([work(abort.signal), late]) };
  } catch (error) {
    onFailure(error);
    return { ok: false, why: reason(error) };
  } finally {
    abort.abort();
  }
}

function reason(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'ECONNREFUSED') return 'nothing listens on its port';
  return errorMessage(cause).slice(0, 200);
}

/** What every app says about itself on its admin paths. */
export interface AppView {
  readonly metrics: MetricsPage;
  readonly ready: boolean;
  /** Sentences about what is missing until it is ready. */
  readonly missing: readonly string[];
}

/** Largest page read; more is cut off by failing. */
const MAX_BYTES = 4 << 20;

async function text(url: string, signal: AbortSignal, accept: readonly number[]): Promise<string> {
  const response = await fetch(url, { signal });
  const body = await response.text();
  if (!accept.includes(response.status)) throw new Error(`${url} answered ${response.status}`);
  if (body.length > MAX_BYTES) throw new Error(`${url} answered more than ${MAX_BYTES} bytes`);
  return body;
}

export async function viewApp(base: string, signal: AbortSignal): Promise<AppView> {
  const [metrics, readiness] = await Promise.all([
    text(`${base}/metrics`, signal, [200]),
    text(`${base}/readyz`, signal, [200, 503]),
  ]);
  const { ready, missing } = JSON.parse(readiness) as {
    ready: boolean;
    missing: { name: string; missing: string }[];
  };
  return {
    metrics: parseMetrics(metrics),
    ready,
    missing: missing.map((one) => `${one.name}: ${one.missing}`),
  };
}

export async function viewMinio(base: string, signal: AbortSignal): Promise<void> {
  await text(new URL('/minio/health/live', base).href, signal, [200]);
}
