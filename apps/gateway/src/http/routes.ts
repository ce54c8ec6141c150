import type { FastifyInstance } from 'fastify';
import { alertRuleRoutes } from './routes/alert-rules.ts';
import { alertRoutes } from './routes/alerts.ts';
import { commandRoutes } from './routes/commands.ts';
import { deadLetterRoutes } from './routes/dead-letters.ts';
import { deviceRoutes } from './routes/devices.ts';
import { expressionRoutes } from './routes/expressions.ts';
import { lagRoutes } from './routes/lag.ts';
import { liveRoutes } from './routes/live.ts';
import type { RouteParts } from './routes/parts.ts';
import { pipelineRoutes } from './routes/pipeline.ts';
import { replayRoutes } from './routes/replays.ts';
import { rollupRoutes } from './routes/rollups.ts';
import { silenceRoutes } from './routes/silences.ts';
import { subscriptionRoutes } from './routes/subscriptions.ts';
import { viewRoutes } from './routes/views.ts';
import { windowRoutes } from './routes/windows.ts';

const GROUPS = [
  deviceRoutes,
  windowRoutes,
  viewRoutes,
  expressionRoutes,
  rollupRoutes,
  deadLetterRoutes,
  replayRoutes,
  alertRoutes,
  silenceRoutes,
  alertRuleRoutes,
  commandRoutes,
  subscriptionRoutes,
  pipelineRoutes,
  lagRoutes,
  liveRoutes,
];

/** `/api/v1`: the schemas that validate are the ones that the OpenAPI document is made from. */
export function addRoutes(app: FastifyInstance, parts: RouteParts): void {
  for (const add of GROUPS) add(app, parts);
}
