import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { HelperPlan } from '@weir/lag';
import type { AppContext } from '@weir/lifecycle';
import { appArguments, appVariables, helperPortOffset, kafkaTopology } from '@weir/topology';
import type { Act, Parts } from '../parts.ts';
import type { AskBusy, Board } from './board.ts';
import type { LagEvents } from './events.ts';

const ROOT = join(import.meta.dirname, '../../../..');
const LOOK_MS = 5_000;
/** This app has 14 s to stop, its helpers less. */
const DRAIN_MS = 10_000;

/**
 * While this process leads and the windows are behind, starts further aggregators on this machine, and ends them when all is
 * well (lagMonitor.helpers; off unless somebody turns it on). They live no longer than this process leads. One that a
 * killed monitor left behind is a member of the group like any other, and counts towards the limit.
 */
export function startHelpers(
  { config }: Pick<AppContext, 'config'>,
  parts: Pick<Parts, 'whileLeading'>,
  board: Board,
  askBusy: AskBusy,
  events: LagEvents,
): void {
  const { mode, max, after, over } = config.lagMonitor.helpers;
  if (mode === 'off') return;
  const group = kafkaTopology(config.namespace).groups.aggregator;

  const act: Act = async ({ ended }) => {
    const plan = new HelperPlan({ afterMs: after, overMs: over });
    const helpers = new Map<number, ChildProcess>();
    const startOne = (): void => {
      const slot = Array.from({ length: max }, (_, i) => i).find((i) => !helpers.has(i)) ?? 0;
      const child = spawn(process.execPath, appArguments('aggregator'), {
        cwd: ROOT,
        env: {
          ...process.env,
          ...appVariables('aggregator'),
          WEIR_PORTS__OFFSET: String(config.ports.offset + helperPortOffset(slot)),
        },
        stdio: ['ignore', 'inherit', 'inherit'],
      });
      helpers.set(slot, child);
      const gone = (how: string): void => {
        if (helpers.delete(slot)) events.helperEnded(how);
      };
      child.on('error', (error) => gone(error.message));
      child.on('exit', (code, signal) => gone(signal ?? `exit code ${code}`));
    };
    while (!ended.aborted) {
      const standing = board.find('kafka', group);
      if (standing !== undefined) {
        const { measured, judged } = standing;
        const [{ cause }] = board.causes(standing, askBusy);
        // The group's first member is the aggregator that runs anyway.
        const further = Math.max(helpers.size, (measured.consumers ?? 1) - 1);
        const step = plan.next(judged.at, {
          ...{ verdict: judged.verdict, cause, helpers: helpers.size, room: further < max },
        });
        if (step !== null) events.helper(step, mode, judged.rule.text);
        if (mode === 'on' && step === 'start') startOne();
        if (step === 'stop') [...helpers.values()].at(-1)?.kill('SIGTERM');
      }
      await delay(LOOK_MS, undefined, { signal: ended }).catch(() => undefined);
    }
    await Promise.all(
      [...helpers.values()].map(async (child) => {
        const gone = once(child, 'exit');
        child.kill('SIGTERM');
        await Promise.race([gone, delay(DRAIN_MS)]);
        child.kill('SIGKILL');
      }),
    );
  };
  parts.whileLeading(act);
}
