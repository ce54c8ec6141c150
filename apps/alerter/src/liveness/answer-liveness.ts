import type { Question } from '@weir/observe';
import type { LivenessWatch } from './watch-liveness.ts';

const time = (ms: number | null): string | null =>
  ms !== null && Number.isFinite(ms) ? new Date(ms).toISOString() : null;

/**
 * `GET /liveness?site=…&device=…` on the admin port: what is known of the life of a device, 404 when nothing is, 503
 * when another alerter is the active one. In the shape of the API, which
 * asks here.
 */
export function answerLiveness(watch: () => Pick<LivenessWatch, 'view'> | null): Question {
  return (query) => {
    const watching = watch();
    if (watching === null) return { status: 503, body: { title: 'This alerter stands by.' } };
    const found = watching.view(query.get('site') ?? '', query.get('device') ?? '');
    if (found === undefined) return { status: 404, body: { title: 'This device was never heard.' } };
    const { lastHeard, judgedAt } = found;
    return { status: 200, body: { ...found, lastHeard: time(lastHeard), judgedAt: time(judgedAt) } };
  };
}
