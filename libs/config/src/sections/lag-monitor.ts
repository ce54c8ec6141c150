import { z } from 'zod';
import { duration, flag, lifetime, names, whole } from '../units.ts';
import { pressureSettings } from './pressure.ts';

const group = z.strictObject({
  name: z.string().min(1).max(255).describe('Kafka group or RabbitMQ queue; * at the end stands for any end'),
  allowedLag: duration().optional().describe('Instead of lagMonitor.allowedLag'),
  stopAfter: duration().optional().describe('Instead of lagMonitor.stopAfter'),
  stallAfter: duration().optional().describe('Instead of lagMonitor.stallAfter'),
});

export const lagMonitorSection = z
  .strictObject({
    interval: duration().prefault('5s').describe('Time between two measurements'),
    deadline: duration()
      .prefault('4s')
      .describe('Time that a server has to answer a measurement; without an answer the verdict is UNKNOWN'),
    watch: names()
      .prefault(['*'])
      .describe(
        'Kafka groups and RabbitMQ queues that are watched; * at the end of a name stands for any end',
      ),
    ignore: names().prefault([]).describe('Those of them that are not watched'),
    allowedLag: duration()
      .prefault('60s')
      .describe('Time lag that is in order; beyond it a group or queue is WARN or ERR'),
    stopAfter: duration()
      .prefault('9s')
      .describe('How long nobody may have consumed when something waits before it is STOP'),
    stallAfter: duration()
      .prefault('9s')
      .describe('How long nothing may be committed or acknowledged while something waits before it is STALL'),
    hold: duration()
      .prefault('10s')
      .describe('How long WARN, ERR or REWIND must last before it is the verdict'),
    clear: duration().prefault('15s').describe('How long it must be better before the verdict says so'),
    lossMargin: duration()
      .prefault('1h')
      .describe('Time until retention deletes a waiting record, below which it is ERR'),
    groups: z
      .array(group)
      .default([])
      .describe('Other limits for some of them: name, allowedLag, stopAfter, stallAfter'),
    maxPartitions: whole(100, 1_000_000)
      .default(20_000)
      .describe('Partitions of groups watched at most; more are counted and not watched'),
    history: lifetime().prefault('7d').describe('How long measurements are kept'),
    alerts: flag().default(true).describe('Whether verdicts become alerts'),
    addresses: names()
      .prefault([])
      .describe(
        'Admin addresses of the lag monitors, for those who ask them, with commas between; empty: the one on this host',
      ),
    slowReplays: z
      .enum(['on', 'dry-run', 'off'])
      .default('on')
      .describe(
        'Whether replays of dead letters pause while their destination is WARN or worse; dry-run: only logged',
      ),
    helpers: z
      .strictObject({
        mode: z
          .enum(['on', 'dry-run', 'off'])
          .default('off')
          .describe(
            'Whether further aggregators are started on this machine while the windows are behind; dry-run: only logged',
          ),
        max: whole(1, 3).default(1).describe('Further aggregators at a time, in the whole group'),
        after: duration()
          .prefault('30s')
          .describe('How long the windows must be behind before another one is started'),
        over: duration().prefault('10m').describe('How long all must be well before one is ended'),
      })
      .prefault({}),
    ...pressureSettings,
  })
  .prefault({});
