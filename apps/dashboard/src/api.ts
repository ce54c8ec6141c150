import type { AlertList, Anomaly, DeviceList, Problem, Series, Status, Summary, WindowList } from '@weir/api';

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

async function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') parameters.set(key, String(value));
  }
  const text = parameters.toString();
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}${text === '' ? '' : `?${text}`}`, {
      signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw new ApiError('away', 'The gateway does not answer.', error);
  }
  if (response.ok) return (await response.json()) as T;
  const problem = (await response.json().catch(() => ({}))) as Partial<Problem>;
  throw new ApiError(
    problem.code ?? 'internal',
    problem.detail ?? problem.title ?? `The gateway answered ${response.status}.`,
  );
}

const device = (id: string): string => `/devices/${encodeURIComponent(id)}`;

export const api = {
  status: (signal?: AbortSignal) => get<Status>('/status', {}, signal),
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
  alerts: (query: { state?: string; limit: number }, signal?: AbortSignal) =>
    get<AlertList>('/alerts', query, signal),
};
