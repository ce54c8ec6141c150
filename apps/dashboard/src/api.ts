import type {
  AlertDetail,
  AlertList,
  AlertRuleList,
  Anomaly,
  DeadLetterChanged,
  DeadLetterDetail,
  DeadLetterFacets,
  DeadLetterList,
  DeviceList,
  LagDetail,
  LagExplanation,
  LagHistory,
  LagList,
  LagSystem,
  Ledger,
  NewSilence,
  NotifierList,
  NotifierTest,
  Pressure,
  Problem,
  Replay,
  ReplayList,
  ReplayRequest,
  Series,
  SilenceList,
  Status,
  Summary,
  WindowList,
} from '@weir/api';
import { actor } from './actor.ts';

/** What the gateway refused, or that it could not be reached; `message` is a sentence for the page. */
export class ApiError extends Error {
  readonly code: Problem['code'] | 'away';
  constructor(code: Problem['code'] | 'away', message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

type Query = Readonly<Record<string, string | number | undefined>>;
const DEADLINE_MS = 8_000;

const get = <T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> =>
  request<T>('GET', path, query, signal);

interface Change {
  readonly query?: Query;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Has the gateway change something, in the name of who looks at the page. */
function change<T>(
  method: string,
  path: string,
  { query = {}, body, headers = {} }: Change = {},
): Promise<T> {
  // The bytes of a header are given one character each.
  const name = [...new TextEncoder().encode(actor.value)].map((byte) => String.fromCharCode(byte)).join('');
  return request<T>(method, path, query, undefined, {
    headers: {
      ...headers,
      ...(name === '' ? {} : { 'x-weir-actor': name }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

async function request<T>(
  method: string,
  path: string,
  query: Query,
  signal?: AbortSignal,
  init: RequestInit = {},
): Promise<T> {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') parameters.set(key, String(value));
  }
  const text = parameters.toString();
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}${text === '' ? '' : `?${text}`}`, {
      ...init,
      method,
      signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw new ApiError('away', 'The gateway does not answer.', error);
  }
  if (response.status === 204) return undefined as T;
  if (response.ok) return (await response.json()) as T;
  const problem = (await response.json().catch(() => ({}))) as Partial<Problem>;
  throw new ApiError(
    problem.code ?? 'internal',
    problem.detail ?? problem.title ?? `The gateway answered ${response.status}.`,
  );
}

const lag = (system: LagSystem, group: string): string => `/lag/${system}/${encodeURIComponent(group)}`;
const device = (id: string): string => `/devices/${encodeURIComponent(id)}`;

export const api = {
  status: (signal?: AbortSignal) => get<Status>('/status', {}, signal),
  ledger: (signal?: AbortSignal) => get<Ledger>('/ledger', {}, signal),
  pressure: (signal?: AbortSignal) => get<Pressure>('/pressure', {}, signal),
  lag: (signal?: AbortSignal) => get<LagList>('/lag', {}, signal),
  lagOf: (system: LagSystem, group: string, signal?: AbortSignal) =>
    get<LagDetail>(lag(system, group), {}, signal),
  lagExplained: (system: LagSystem, group: string, signal?: AbortSignal) =>
    get<LagExplanation>(`${lag(system, group)}/explain`, {}, signal),
  lagHistory: (system: LagSystem, group: string, from: number, signal?: AbortSignal) =>
    get<LagHistory>('/lag/history', { system, group, from }, signal),
  devices: (query: { q?: string; cursor?: string; limit?: number }, signal?: AbortSignal) =>
    get<DeviceList>('/devices', query, signal),
  summary: (id: string, site: string, signal?: AbortSignal) =>
    get<Summary>(`${device(id)}/summary`, { site, levels: '1s' }, signal),
  windows: (
    id: string,
    query: { site: string; metric: string; level?: string; from: number; limit: number },
    signal?: AbortSignal,
  ) => get<WindowList>(`${device(id)}/windows`, query, signal),
  series: (
    id: string,
    query: { site: string; metric: string; level?: string; points?: number; from: number },
    signal?: AbortSignal,
  ) => get<Series>(`${device(id)}/series`, query, signal),
  anomaly: (
    id: string,
    query: { site: string; metric: string; level: string; from: number },
    signal?: AbortSignal,
  ) => get<Anomaly>(`${device(id)}/anomaly`, query, signal),
  alerts: (query: Query & { limit: number }, signal?: AbortSignal) =>
    get<AlertList>('/alerts', query, signal),
  alert: (id: string, signal?: AbortSignal) => get<AlertDetail>(`/alerts/${id}`, {}, signal),
  acknowledge: (id: string, why: string) => change('POST', `/alerts/${id}/ack`, { body: { why } }),
  silences: (signal?: AbortSignal) => get<SilenceList>('/silences', {}, signal),
  silence: (silence: NewSilence) => change('POST', '/silences', { body: silence }),
  unsilence: (id: string, why: string) => change('DELETE', `/silences/${id}`, { query: { why } }),
  notifiers: (signal?: AbortSignal) => get<NotifierList>('/notifiers', {}, signal),
  testNotifier: (id: string) => change<NotifierTest>('POST', `/notifiers/${encodeURIComponent(id)}/test`),
  deadLetterFacets: (selection: Query, signal?: AbortSignal) =>
    get<DeadLetterFacets>('/dead-letters/facets', selection, signal),
  deadLetters: (query: Query, signal?: AbortSignal) => get<DeadLetterList>('/dead-letters', query, signal),
  deadLetter: (id: string, signal?: AbortSignal) =>
    get<DeadLetterDetail>(`/dead-letters/${encodeURIComponent(id)}`, {}, signal),
  /** `action`: park, unpark, purge or edit. The key makes a request that is sent twice count once. */
  changeLetters: (action: string, body: unknown, key: string) =>
    change<DeadLetterChanged>('POST', `/dead-letters/${action}`, {
      body,
      headers: { 'idempotency-key': key },
    }),
  replays: (signal?: AbortSignal) => get<ReplayList>('/replays', { limit: 20 }, signal),
  replay: (id: string, signal?: AbortSignal) => get<Replay>(`/replays/${id}`, {}, signal),
  planReplay: (body: ReplayRequest, key: string) =>
    change<Replay>('POST', '/replays', { body, headers: { 'idempotency-key': key } }),
  orderReplay: (id: string, order: string, why: string) =>
    change('POST', `/replays/${id}/${order}`, { body: { why } }),
  alertRules: (signal?: AbortSignal) => get<AlertRuleList>('/alert-rules', {}, signal),
  /** `version`: of the rule that is changed; null for one that must not exist in the API yet. */
  putAlertRule: (
    id: string,
    version: string | null,
    body: { rule: unknown; enabled: boolean; why: string },
  ) =>
    change('PUT', `/alert-rules/${encodeURIComponent(id)}`, {
      body,
      headers: version === null ? { 'if-none-match': '*' } : { 'if-match': version },
    }),
  removeAlertRule: (id: string, version: string | null, why: string) =>
    change('DELETE', `/alert-rules/${encodeURIComponent(id)}`, {
      query: { why },
      headers: version === null ? {} : { 'if-match': version },
    }),
};
