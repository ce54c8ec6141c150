import { problem } from '@weir/api';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { CommandDesk } from '../../commands/desk.ts';
import type { CommandStore } from '../../commands/store.ts';
import type { LiveHub } from '../../live/hub.ts';
import type { Newest } from '../../live/newest.ts';
import type { AnswerCached } from '../../steps/answer-cached.ts';
import type { AskLiveness } from '../../steps/ask-liveness.ts';
import type { AskMonitor } from '../../steps/ask-monitor.ts';
import type { StatusCollector } from '../../steps/collect-status.ts';
import type { AlertingStore } from '../../store/alerting.ts';
import type { LetterStore } from '../../store/letters.ts';
import type { ReplayStore } from '../../store/replays.ts';
import type { RollupStore } from '../../store/rollups.ts';
import type { Store } from '../../store/store.ts';
import type { Subscriptions } from '../../subscriptions/subscriptions.ts';

export interface RouteParts {
  readonly store: Store;
  readonly rollups: RollupStore;
  readonly answer: AnswerCached;
  /** Somebody changed what answers of this kind (the first part of a question's key) show: every gateway asks anew. */
  readonly changed: (what: string) => void;
  readonly liveness: AskLiveness;
  readonly monitor: AskMonitor;
  readonly status: StatusCollector;
  readonly hub: LiveHub;
  readonly newest: Newest;
  readonly replays: ReplayStore;
  readonly letters: LetterStore;
  readonly alerting: AlertingStore;
  readonly commands: CommandStore;
  readonly desk: CommandDesk;
  readonly subscriptions: Subscriptions;
  /** Milliseconds; see `gateway.silentAfter`. */
  readonly silentAfter: number;
}

/** Adds the routes of one group; one file for each group. */
export type RouteGroup = (app: FastifyInstance, parts: RouteParts) => void;

export const typed = (app: FastifyInstance) => app.withTypeProvider<ZodTypeProvider>();

/** What every answer may be instead of the one asked for. */
export const errors = { '4xx': problem, '5xx': problem };

/** A request and its reply without the types of their route. */
export const plain = (request: unknown, reply: unknown) =>
  [request as FastifyRequest, reply as FastifyReply] as const;
