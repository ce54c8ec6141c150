import type { Problem } from '@weir/api';
import { errorMessage, WeirError } from '@weir/flow';
import { PORTS } from '@weir/topology';
import type { Command } from 'commander';
import { caller } from './caller.ts';
import { effectiveConfig } from './settings.ts';

export interface GatewayOptions {
  readonly url?: string;
  readonly data?: string;
}

/** Options of every command that asks the gateway. */
export function addGateway(command: Command): Command {
  return command
    .option('--url <url>', 'address of the gateway (default: of this machine)')
    .option('--data <dir>', 'data folder of `weir up`')
    .option('--json', 'print JSON');
}

export function gatewayBase(options: GatewayOptions): string {
  if (options.url !== undefined) return options.url.replace(/\/$/, '');
  const { ports } = effectiveConfig(options.data);
  return `http://127.0.0.1:${PORTS.gateway + ports.offset}`;
}

type Parameters = Readonly<Record<string, string | undefined>>;

export interface GatewayRequest {
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly parameters?: Parameters;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Who asks, for the audit trail; the user of this command when it is left out. */
  readonly actor?: string | undefined;
}

export interface GatewayAnswer<T> {
  readonly status: number;
  readonly headers: Headers;
  /** Undefined when the answer has no body. */
  readonly body: T;
}

/**
 * Asks the gateway's API. Undefined parameters are left out.
 * @throws WeirError WEIR_CONNECT_FAILED, WEIR_REJECTED with the problem's own sentence.
 */
export async function askGateway<T>(
  options: GatewayOptions,
  path: string,
  parameters: Parameters = {},
  timeoutMs = 10_000,
): Promise<T> {
  return (await request<T>(options, path, parameters, {}, timeoutMs)).body;
}

/** An answer that is bytes and no JSON. Throws as `askGateway` does. */
export async function askGatewayBytes(
  options: GatewayOptions,
  path: string,
  parameters: Parameters = {},
): Promise<Buffer> {
  return (await request<Buffer>(options, path, parameters, {}, 30_000)).body;
}

/** Has the gateway change something, in the name of the caller. Throws as `askGateway` does. */
export function tellGateway<T>(
  options: GatewayOptions,
  { method, path, parameters = {}, body, headers = {}, actor = caller() }: GatewayRequest,
  timeoutMs = 30_000,
): Promise<GatewayAnswer<T>> {
  // The bytes of a header are given one character each.
  const named = { ...headers, 'x-weir-actor': Buffer.from(actor).toString('latin1') };
  const init =
    body === undefined
      ? { method, headers: named }
      : { method, headers: { ...named, 'content-type': 'application/json' }, body: JSON.stringify(body) };
  return request<T>(options, path, parameters, init, timeoutMs);
}

async function request<T>(
  options: GatewayOptions,
  path: string,
  parameters: Parameters,
  init: RequestInit,
  timeoutMs: number,
): Promise<GatewayAnswer<T>> {
  const base = gatewayBase(options);
  const url = new URL(`/api/v1${path}`, base);
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) url.searchParams.set(name, value);
  }
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(url, { ...init, signal: AbortSignal.timeout(timeoutMs) });
    body = await bodyOf(response);
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    throw new WeirError(
      'WEIR_CONNECT_FAILED',
      'transient',
      `Asking the gateway at ${base}: ${errorMessage(cause)}. Is Weir running? \`weir status\` says.`,
      error,
    );
  }
  if (response.ok) return { status: response.status, headers: response.headers, body: body as T };
  const { title, detail, errors } = body as Partial<Problem>;
  const parts = (errors ?? []).map(({ path: where, message }) => `\n  ${where}: ${message}`).join('');
  throw new WeirError(
    'WEIR_REJECTED',
    'data',
    `Asking the gateway for ${url.pathname}: ${detail ?? title ?? `status ${response.status}`}${parts}`,
  );
}

function bodyOf(response: Response): Promise<unknown> {
  if (response.status === 204) return Promise.resolve(undefined);
  const isBytes = response.headers.get('content-type') === 'application/octet-stream';
  return isBytes ? response.arrayBuffer().then((all) => Buffer.from(all)) : response.json();
}
