import { PROBLEMS, type Problem, type ProblemCode } from '@weir/api';
import { WeirError } from '@weir/flow';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import type { Events } from '../events.ts';

const STATUS: Readonly<Record<ProblemCode, number>> = {
  'bad-request': 400,
  'not-found': 404,
  'device-not-found': 404,
  'group-not-found': 404,
  'device-ambiguous': 409,
  'precondition-failed': 412,
  refused: 422,
  'upgrade-required': 426,
  'precondition-required': 428,
  'rate-limited': 429,
  'database-away': 503,
  'alerter-away': 503,
  'lag-monitor-away': 503,
  'lag-unknown': 503,
  'live-full': 503,
  internal: 500,
};

/** An answer that is not the one asked for; thrown by steps, sent as RFC 9457. */
export class ApiProblem extends Error {
  readonly code: ProblemCode;
  readonly errors: Problem['errors'];
  readonly retryAfterSeconds: number | undefined;
  constructor(
    code: ProblemCode,
    detail: string,
    more: { errors?: Problem['errors']; retryAfterSeconds?: number; cause?: unknown } = {},
  ) {
    super(detail, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.errors = more.errors;
    this.retryAfterSeconds = more.retryAfterSeconds;
  }
}

function asProblem(error: unknown): ApiProblem {
  if (error instanceof ApiProblem) return error;
  if (hasZodFastifySchemaValidationErrors(error)) {
    const errors = error.validation.map((issue) => ({
      path: issue.instancePath.replace(/^\//, '').replaceAll('/', '.'),
      message: issue.message ?? 'not accepted',
    }));
    const said = errors
      .map(({ path, message }) => (path === '' ? message : `${path}: ${message}`))
      .join('; ');
    return new ApiProblem('bad-request', said, { errors });
  }
  if (error instanceof WeirError && error.retry !== 'data') {
    return new ApiProblem('database-away', PROBLEMS['database-away'], { retryAfterSeconds: 2, cause: error });
  }
  if (error instanceof WeirError && error.code === 'WEIR_REJECTED')
    return new ApiProblem('refused', error.message);
  const status = (error as FastifyError).statusCode;
  if (status !== undefined && status >= 400 && status < 500) {
    const code = status === 404 ? 'not-found' : status === 429 ? 'rate-limited' : 'bad-request';
    return new ApiProblem(code, (error as Error).message);
  }
  return new ApiProblem('internal', PROBLEMS.internal, { cause: error });
}

/** Sends `error` as `application/problem+json`; only what nobody foresaw is logged, with its request id. */
export function sendProblem(
  events: Events,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const problem = asProblem(error);
  if (problem.code === 'internal') events.requestFailed(request.id, request.url, error);
  const body: Problem = {
    type: `/docs/problems#${problem.code}`,
    title: PROBLEMS[problem.code],
    status: STATUS[problem.code],
    detail: problem.message,
    instance: request.url.slice(0, 500),
    code: problem.code,
    requestId: request.id,
    ...(problem.errors === undefined ? {} : { errors: problem.errors }),
  };
  if (problem.retryAfterSeconds !== undefined) reply.header('retry-after', problem.retryAfterSeconds);
  return reply
    .code(body.status)
    .header('content-type', 'application/problem+json; charset=utf-8')
    .header('cache-control', 'no-store')
    .send(JSON.stringify(body));
}
