import { z } from 'zod';
import { duration, flag, lifetime, names, whole } from '../units.ts';

const throttle = z
  .strictObject({
    mode: z
      .enum(['on', 'dry-run', 'off'])
      .default('on')
      .describe(
        'Whether edges are told to send less to Kafka while the windows are behind; dry-run: only shown',
      ),
    lag: duration().prefault('10s').describe('Time lag of the windows that is kept under overload'),
    recovery: duration().prefault('20s').describe('Time in which what is above it is to be worked off'),
  })
  .prefault({});

const APP = /^(edge|aggregator|archiver|alerter)=https?:\/\/[^,\s]+$/;

const settings = {
  interval: duration().prefault('5s').describe('Time between two measurements'),
  deadline: duration()
    .prefault('4s')
    .describe('Time that a server has to answer a measurement; without an answer the verdict is unknown'),
  ignore: names()
    .prefault([])
    .describe(
      'Kafka groups and RabbitMQ queues that are not watched: names, or beginnings with * at the end',
    ),
  allowedLag: duration()
    .prefault('60s')
    .describe('Time lag that is in order; beyond it a group or queue is at least WARN'),
  stopAfter: duration()
    .prefault('15s')
    .describe('How long nobody may consume while something waits before it is STOP'),
  stallAfter: duration()
    .prefault('15s')
    .describe('How long nothing may be committed or acknowledged while something waits before it is STALL'),
  hold: duration().prefault('10s').describe('How long a WARN or ERR must last before it is the verdict'),
  clear: duration().prefault('15s').describe('How long it must be better before the verdict says so'),
  history: lifetime().prefault('7d').describe('How long measurements are kept'),
  apps: names()
    .refine(
      (apps) => apps.every((app) => APP.test(app)),
      'expected "edge=http://host:port", with commas between',
    )
    .prefault([])
    .describe(
      'Admin addresses of all apps, such as edge=http://host:8081, with commas between; empty: one of each on this host',
    ),
  throttle,
  alerts: flag().default(true).describe('Whether verdicts become alerts'),
  maxPartitions: whole(100, 1_000_000)
    .default(20_000)
    .describe('Partitions of groups watched at most; more are counted and not watched'),
};

export const lagMonitorSection = z.strictObject(settings).prefault({});
