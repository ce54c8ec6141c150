import { createHash } from 'node:crypto';
import type { Cache } from '@weir/connect-redis';
import { errorMessage, WeirError } from '@weir/flow';
import { cacheKey } from '@weir/topology';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { CacheResult, Events } from '../events.ts';
import { ApiProblem } from '../http/problems.ts';

/** An answer as it is kept in Redis. */
interface Stored {
  /** Epoch milliseconds. */
  readonly at: number;
  readonly etag: string;
  readonly body: string;
}
interface Answer {
  readonly stored: Stored;
  readonly result: CacheResult;
  readonly status: string;
}

export interface AnswerOptions {
  readonly cache: Cache;
  readonly events: Events;
  readonly namespace: string;
  /** Milliseconds for which an answer is fresh. */
  readonly cacheTtl: number;
  /** Milliseconds for which an answer may be served while the database is away. */
  readonly staleTtl: number;
  /** Longest time a query may take before a stale answer is served instead, in milliseconds. */
  readonly queryDeadline: number;
}

export interface Question<S extends z.ZodType> {
  /** Names the answer: equal keys may share it. */
  readonly key: string;
  /** Milliseconds for which the answer is fresh, when that is less than `cacheTtl`. */
  readonly freshMs?: number;
  readonly schema: S;
  load(): Promise<z.output<S>>;
}

export type AnswerCached = <S extends z.ZodType>(
  request: FastifyRequest,
  reply: FastifyReply,
  question: Question<S>,
) => Promise<void>;

const CACHE = 'weir-gateway';
/** Whatever is published on weir.broadcast, no more kinds than these are remembered. */
const KINDS = 100;
const seconds = (ms: number): number => Math.floor(ms / 1_000);

/**
 * Answers from Redis while fresh, else from the database, else (RFC 5861 stale-if-error) with what Redis still has.
 * Says which in Cache-Status (RFC 9211) and Age, and answers 304 to a matching If-None-Match. Equal questions that
 * arrive together ask the database once.
 */
export function answerCached(options: AnswerOptions): {
  readonly answer: AnswerCached;
  /** Answers made so far to questions whose key begins with `kind:` are not fresh any more. */
  forget(kind: string): void;
} {
  const { cache, events, staleTtl } = options;
  const freshFor = (question: { readonly freshMs?: number }): number =>
    Math.min(options.cacheTtl, question.freshMs ?? options.cacheTtl);
  const underway = new Map<string, Promise<Stored>>();
  /** By kind, when its answers were last forgotten; epoch milliseconds, as `Stored.at`. */
  const forgotten = new Map<string, number>();

  const look = async (key: string): Promise<Stored | null | 'bypass'> => {
    try {
      const text = await cache.get(key);
      return text === null ? null : (JSON.parse(text) as Stored);
    } catch (error) {
      events.cacheUnavailable(error);
      return 'bypass';
    }
  };
  const fetchAnew = <S extends z.ZodType>(key: string, question: Question<S>): Promise<Stored> => {
    const running = underway.get(key);
    if (running !== undefined) return running;
    const work = (async () => {
      const value = await within(options.queryDeadline, question.load());
      const body = JSON.stringify(question.schema.parse(value));
      const stored = { at: Date.now(), etag: etagOf(body), body };
      // Not awaited: the answer does not wait for the cache to take it.
      cache
        .set(key, JSON.stringify(stored), options.cacheTtl + staleTtl)
        .catch((error: unknown) => events.cacheUnavailable(error));
      return stored;
    })();
    underway.set(key, work);
    const forget = (): void => {
      if (underway.get(key) === work) underway.delete(key);
    };
    work.then(forget, forget);
    return work;
  };
  const find = async <S extends z.ZodType>(question: Question<S>): Promise<Answer> => {
    const key = cacheKey(options.namespace, question.key);
    const cacheTtl = freshFor(question);
    const found = await look(key);
    const known = found === 'bypass' ? null : found;
    const age = known === null ? 0 : Date.now() - known.at;
    const isForgotten =
      known !== null && known.at <= (forgotten.get(question.key.split(':', 1)[0] ?? '') ?? 0);
    if (known !== null && age < cacheTtl && !isForgotten) {
      return { stored: known, result: 'hit', status: `${CACHE}; hit; ttl=${seconds(cacheTtl - age)}` };
    }
    try {
      const stored = await fetchAnew(key, question);
      if (found === 'bypass')
        return { stored, result: 'bypass', status: `${CACHE}; fwd=bypass; detail=redis-away` };
      if (known === null) return { stored, result: 'miss', status: `${CACHE}; fwd=uri-miss; stored` };
      return { stored, result: 'stale', status: `${CACHE}; fwd=stale; stored` };
    } catch (error) {
      if (!isAway(error)) throw error;
      events.databaseUnavailable(`answering ${question.key}`, error);
      if (known === null || age >= cacheTtl + staleTtl) {
        throw new ApiProblem('database-away', `The database does not answer: ${errorMessage(error)}`, {
          retryAfterSeconds: 2,
          cause: error,
        });
      }
      return {
        stored: known,
        result: 'stale-if-error',
        status: `${CACHE}; hit; ttl=${seconds(cacheTtl - age)}; detail=stale-if-error`,
      };
    }
  };

  const answer: AnswerCached = async (request, reply, question) => {
    const { stored, result, status } = await find(question);
    events.cacheAnswered(result);
    reply
      .header('etag', stored.etag)
      .header('cache-status', status)
      .header('age', Math.max(0, seconds(Date.now() - stored.at)))
      .header(
        'cache-control',
        `private, max-age=${seconds(freshFor(question))}, stale-if-error=${seconds(staleTtl)}`,
      );
    const next = (JSON.parse(stored.body) as { next?: string | null }).next;
    if (typeof next === 'string') reply.header('link', `<${nextUrl(request.url, next)}>; rel="next"`);
    if (matches(request.headers['if-none-match'], stored.etag)) await reply.code(304).send();
    else await reply.header('content-type', 'application/json; charset=utf-8').send(stored.body);
  };
  return {
    answer,
    forget: (kind) => {
      if (forgotten.size >= KINDS) forgotten.clear();
      forgotten.set(kind, Date.now());
      // One that is under way may have been asked before the change.
      underway.clear();
    },
  };
}

/** Errors that mean that the database is away, rather than that the question is wrong. */
function isAway(error: unknown): boolean {
  // A fatal one (no schema yet, wrong password) is for the operator too, and a stale answer serves the client meanwhile.
  return (error instanceof WeirError && error.retry !== 'data') || error instanceof DeadlineError;
}

class DeadlineError extends Error {}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new DeadlineError(`no answer within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

function etagOf(body: string): string {
  return `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
}

/** RFC 9110 If-None-Match: weak comparison over a list, or `*`. */
function matches(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((part) => {
    const tag = part.trim();
    return tag === '*' || tag.replace(/^W\//, '') === etag;
  });
}

function nextUrl(url: string, cursor: string): string {
  const [path = '', query = ''] = url.split('?');
  const parameters = new URLSearchParams(query);
  parameters.set('cursor', cursor);
  return `${path}?${parameters.toString()}`;
}
