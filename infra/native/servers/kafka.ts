import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { oneShot } from '../launch.ts';
import { kafkaAnswers } from '../probes.ts';
import { run } from '../run.ts';
import { KAFKA_HEAP, KAFKA_SETTINGS } from './tuning.ts';
import type { ServerContext, ServerDefinition } from './types.ts';

function properties({ folder, port }: ServerContext): string {
  const settings: Record<string, string | number> = {
    'process.roles': 'broker,controller',
    'node.id': 1,
    // A fixed voter list, not a stored one: the data folder can move to another port offset.
    'controller.quorum.voters': `1@127.0.0.1:${port('kafkaController')}`,
    'controller.listener.names': 'CONTROLLER',
    listeners: `PLAINTEXT://127.0.0.1:${port('kafka')},CONTROLLER://127.0.0.1:${port('kafkaController')}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port('kafka')}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': join(folder, 'log'),
    ...KAFKA_SETTINGS,
  };
  return `${Object.entries(settings)
    .map(([name, value]) => `${name}=${value}`)
    .join('\n')}\n`;
}

function java({ provisioned, folder }: ServerContext, main: string, args: readonly string[], heap: string) {
  const env = { PATH: '/usr/local/bin:/usr/bin:/bin', LANG: 'C.UTF-8', HOME: folder };
  const options = [
    heap,
    '-XX:+UseSerialGC', // Two cores shared with everything else: a small heap is collected cheapest by one thread.
    // The optimizing compiler takes more than it saves. Two brokers side by side on a busy machine: 3.9 s of CPU to start
    // instead of 7.4; 3.1 µs a reading instead of 7.2 for the first 300,000, 2.0 instead of 3.0 after 1.2 million, when the
    // threads that serve cost the same in both.
    '-XX:TieredStopAtLevel=1',
    '-XX:+ExitOnOutOfMemoryError',
    `-Djava.io.tmpdir=${join(folder, 'tmp')}`, // Native compression libraries are unpacked here.
    '-Djava.awt.headless=true',
    '-Dorg.slf4j.simpleLogger.showDateTime=true',
    '-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss,SSS',
    '-Dorg.slf4j.simpleLogger.defaultLogLevel=info',
  ];
  const command: [string, ...string[]] = [
    provisioned.java,
    ...options,
    '-cp',
    join(provisioned.kafkaLib, '*'),
    main,
    ...args,
  ];
  return { env, command };
}

const propertiesFile = (folder: string): string => join(folder, 'server.properties');

export const kafkaServer: ServerDefinition = {
  name: 'kafka',
  title: 'Kafka',
  ports: ['kafka', 'kafkaController'],
  stopSignal: 'SIGTERM',
  async prepare(context) {
    const { folder, credentials } = context;
    // What a killed JVM unpacked into its temporary folder is of no use to the next one.
    rmSync(join(folder, 'tmp'), { recursive: true, force: true });
    mkdirSync(join(folder, 'tmp'), { recursive: true });
    mkdirSync(join(folder, 'log'), { recursive: true });
    writeFileSync(`${propertiesFile(folder)}.new`, properties(context));
    renameSync(`${propertiesFile(folder)}.new`, propertiesFile(folder));
    if (existsSync(join(folder, 'log', 'meta.properties'))) return;
    const format = [
      'format',
      '--ignore-formatted',
      // One word: an id may begin with a dash, and would be taken for an option.
      `--cluster-id=${credentials.kafkaClusterId}`,
      '-c',
      propertiesFile(folder),
    ];
    const { program, args } = oneShot(java(context, 'kafka.tools.StorageTool', format, '-Xmx128m'));
    await run(program, args, {
      what: 'Formatting the Kafka log folder',
      wayOut: `Delete ${folder} to start it empty.`,
    });
  },
  launch: (context) => java(context, 'kafka.Kafka', [propertiesFile(context.folder)], KAFKA_HEAP),
  answers: ({ port }) => kafkaAnswers(port('kafka')),
};
