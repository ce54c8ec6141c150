import type { Problem } from '@weir/api';
import { errorMessage, WeirError } from '@weir/flow';
import { PORTS } from '@weir/topology';
import { effectiveConfig } from './settings.ts';

export interface GatewayOptions {
  readonly url?: string;
  readonly data?: string;
}

export function gatewayBase(options: GatewayOptions): string {
  if (options.url !== undefined) return options.url.replace(/\/$/, '');
  const { ports } = effectiveConfig(options.data);
  return `http://127.0.0.1:${PORTS.gateway + ports.offset}`;
}

/**
 * Asks the gateway's API. Undefined parameters are left out.
 * @throws WeirError WEIR_CONNECT_FAILED, WEIR_REJECTED with the problem's own sentence.
 */
export async function askGateway<T>(
  options: GatewayOptions,
  path: string,
  parameters: Readonly<Record<string, string | undefined>> = {},
  timeoutMs = 10_000,
): Promise<T> {
  const base = gatewayBase(options);
  const url = new URL(`/api/v1${path}`, base);
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) url.searchParams.set(name, value);
  }
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
    body = await response.json();
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    throw new WeirError(
      'WEIR_CONNECT_FAILED',
      'transient',
      `Asking the gateway at ${base}: ${errorMessage(cause)}. Is Weir running? \`weir status\` says.`,
      error,
    );
  }
  if (response.ok) return body as T;
  const { title, detail, errors } = body as Partial<Problem>;
  const parts = (errors ?? []).map(({ path: where, message }) => `\n  ${where}: ${message}`).join('');
  throw new WeirError(
    'WEIR_REJECTED',
    'data',
    `Asking the gateway for ${url.pathname}: ${detail ?? title ?? `status ${response.status}`}${parts}`,
  );
}
