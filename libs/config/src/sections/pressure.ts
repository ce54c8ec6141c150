import { z } from 'zod';
import { duration, names } from '../units.ts';

const APP = /^(edge|aggregator|archiver|alerter)=https?:\/\/[^,\s]+$/;

/** Of the lag monitor: whom it asks how they fare, and how it throttles edges. */
export const pressureSettings = {
  apps: names()
    .refine(
      (apps) => apps.every((app) => APP.test(app)),
      'expected "edge=http://host:port", with commas between',
    )
    .prefault([])
    .describe(
      'Admin addresses of all apps, such as edge=http://host:8081, with commas between; empty: one of each on this host',
    ),
  throttle: z
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
    .prefault({}),
};
