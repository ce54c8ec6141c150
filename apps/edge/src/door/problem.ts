import type { ServerResponse } from 'node:http';

export const PROBLEMS = {
  'bad-request': { status: 400, title: 'Bad request' },
  unauthorized: { status: 401, title: 'Credentials are missing or wrong' },
  forbidden: { status: 403, title: 'Not allowed' },
  'not-found': { status: 404, title: 'Not found' },
  'method-not-allowed': { status: 405, title: 'Method not allowed' },
  'body-too-large': { status: 413, title: 'The body is too large' },
  'unsupported-media-type': { status: 415, title: 'Unsupported media type' },
  busy: { status: 429, title: 'Busy; try again later' },
  unavailable: { status: 503, title: 'Not available' },
} as const;
export type ProblemCode = keyof typeof PROBLEMS;

/** A refusal that ends in an RFC 9457 answer. */
export class Problem extends Error {
  readonly code: ProblemCode;
  readonly headers: Readonly<Record<string, string>>;
  constructor(code: ProblemCode, detail: string, headers: Readonly<Record<string, string>> = {}) {
    super(detail);
    this.code = code;
    this.headers = headers;
  }
}

/** RFC 9457 `application/problem+json`, with `code` and `requestId`. Returns the status. */
export function sendProblem(response: ServerResponse, problem: Problem, requestId: string): number {
  const { status, title } = PROBLEMS[problem.code];
  const body = JSON.stringify({
    type: 'about:blank',
    title,
    status,
    detail: problem.message,
    code: problem.code,
    requestId,
  });
  response.writeHead(status, { 'content-type': 'application/problem+json', ...problem.headers });
  response.end(`${body}\n`);
  return status;
}
