import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { oneShot } from '../launch.ts';
import { kafkaAnswers } from '../probes.ts';
import { run } from '../run.ts';
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
    'auto.create.topics.enable': 'false',
    'default.replication.factor': 1,
    'min.insync.replicas': 1,
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 10,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 10,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'group.initial.rebalance.delay.ms': 0,
    'group.min.session.timeout.ms': 1_000, // Tests of killed members need not wait the usual six seconds.
    'num.network.threads': 2,
    'num.io.threads': 4,
    'num.recovery.threads.per.data.dir': 2,
    'log.cleaner.dedupe.buffer.size': 16 << 20, // 128 MiB by default, a quarter of this heap.
    // After kill -9 the controller refuses the returning broker until its old session has run out.
    'broker.heartbeat.interval.ms': 500,
    'broker.session.timeout.ms': 2_000,
    'controlled.shutdown.enable': 'true',
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
      '-t',
      credentials.kafkaClusterId,
      '-c',
      propertiesFile(folder),
    ];
    const { program, args } = oneShot(java(context, 'kafka.tools.StorageTool', format, '-Xmx128m'));
    await run(program, args, {
      what: 'Formatting the Kafka log folder',
      wayOut: `Delete ${folder} to start it empty.`,
    });
  },
  launch: (context) => java(context, 'kafka.Kafka', [propertiesFile(context.folder)], '-Xmx512m'),
  answers: ({ port }) => kafkaAnswers(port('kafka')),
};
