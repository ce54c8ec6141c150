import { openAdmin, openLogReader, openTopicIds } from '@weir/connect-kafka';
import type { AppContext } from '@weir/lifecycle';
import { kafkaTopology } from '@weir/topology';
import type { Parts } from '../parts.ts';
import { answerExplain, answerGroup, answerHistory, answerLag } from './answer-lag.ts';
import { type AskBusy, Board } from './board.ts';
import { LagEvents } from './events.ts';
import { keepHistory } from './keep-history.ts';
import { isWatched, limitsOf } from './limits.ts';
import { measureGroups } from './measure-groups.ts';
import { measureQueues } from './measure-queues.ts';
import { readHeads } from './read-heads.ts';
import { startHelpers } from './start-helpers.ts';
import { watchLag } from './watch-lag.ts';

/** Kafka groups and RabbitMQ queues → rules → verdicts, answers and metrics; of the leader, history and alerts too. */
export function startLag(context: AppContext, parts: Parts, askBusy: AskBusy): void {
  const { config, log, metrics, stopping } = context;
  const { interval, deadline, maxPartitions, history, alerts } = config.lagMonitor;
  const kafka = {
    brokers: config.kafka.brokers,
    clientId: 'weir-lag-monitor',
    requestTimeoutMs: deadline,
    log,
  };
  const ours = new Set<string>(Object.values(kafkaTopology(config.namespace).groups));
  const board = new Board((name) => limitsOf(config, name));
  const events = new LagEvents(log, metrics, board);
  const watched = (name: string): boolean => isWatched(config.lagMonitor, name);
  const admin = openAdmin(kafka);
  const ids = openTopicIds(kafka);
  const heads = readHeads({
    open: (topic) => openLogReader(kafka, topic),
    knows: (group, topic, partition, offset) => board.knows(group, topic, partition, offset),
    goodEnoughMs: 4 * interval,
    deadlineMs: deadline / 4,
  });
  const kept = keepHistory({
    ...{ events, alerts, keepMs: history },
    allowedLagMs: (group) => limitsOf(config, group).allowedLagMs,
  });
  parts.whileLeading(kept.act);
  startHelpers(context, parts, board, askBusy, events);
  context.answer('/lag', answerLag(board, interval));
  context.answer('/lag/group', answerGroup(board));
  context.answer('/lag/explain', answerExplain(board, askBusy));
  context.answer('/lag/history', answerHistory(parts.database));
  context.readyWhen('lag', () => board.at !== null || 'the first measurement is under way');

  const watching = watchLag({
    ...{ board, events, stopping, everyMs: interval, deadlineMs: deadline, onJudged: kept.judged },
    measures: {
      kafka: measureGroups({
        ...{ admin, ids, heads, isWatched: watched, maxPartitions },
        isOurs: (group) => ours.has(group),
      }),
      rabbitmq: measureQueues({ ...config.rabbitmq, isWatched: watched }),
    },
  }).catch((error: unknown) => context.fatal('measuring lag', error));
  context.onStop('settle', 'measurements of lag', () => watching);
  context.onStop('close', 'Kafka', async () => {
    await Promise.all([heads.close(), ids.close(), admin.close()]);
  });
}
