import { APP_PORTS, type AppName, appArguments, appVariables, PORTS, type PortName } from '@weir/topology';
import { serverEnvironment } from '../native/environment.ts';
import {
  KAFKA_HEAP,
  KAFKA_SETTINGS,
  MINIO_ENVIRONMENT,
  POSTGRES_SETTINGS,
  RABBITMQ_ERLANG,
  RABBITMQ_SETTINGS,
  REDIS_SETTINGS,
} from '../native/servers/tuning.ts';
import { PLACEHOLDERS, portVariable } from './environment.ts';

export type Service = Readonly<Record<string, unknown>>;

export const IMAGES = {
  kafka: 'apache/kafka:4.1.0',
  rabbitmq: 'rabbitmq:4.0.5-management',
  timescale: 'timescale/timescaledb:2.19.3-pg17',
  redis: 'redis:8.0.2',
  prometheus: 'prom/prometheus:v2.53.3',
  grafana: 'grafana/grafana:11.6.0',
  // Built here: MinIO's community edition is published as source only.
  minio: 'weir/minio:20260212201848',
  apps: 'weir/apps:0.1.0',
} as const;

/** Kafka tells a client under which name to come back, so containers and the machine need a listener each. */
const KAFKA_INSIDE = 29_092;

/** Publishes a port on the loopback address of the machine only. */
const published = (...names: PortName[]): string[] =>
  names.map((name) => `127.0.0.1:\${${portVariable(name)}:-${PORTS[name]}}:${PORTS[name]}`);

const healthy = (test: readonly string[], startSeconds = 60) => ({
  test,
  interval: '5s',
  timeout: '5s',
  retries: 6,
  start_period: `${startSeconds}s`,
});
const shell = (command: string): string[] => ['CMD-SHELL', command];
const common = { restart: 'unless-stopped', logging: { options: { 'max-size': '10m', 'max-file': '3' } } };

const kafkaVariable = (name: string): string => `KAFKA_${name.replaceAll('.', '_').toUpperCase()}`;

const { postgres, rabbitmq, minio, redis, kafkaClusterId } = PLACEHOLDERS;

const servers: Readonly<Record<string, Service>> = {
  kafka: {
    image: IMAGES.kafka,
    ...common,
    environment: {
      CLUSTER_ID: kafkaClusterId,
      KAFKA_HEAP_OPTS: KAFKA_HEAP,
      KAFKA_NODE_ID: 1,
      KAFKA_PROCESS_ROLES: 'broker,controller',
      KAFKA_CONTROLLER_QUORUM_VOTERS: `1@kafka:${PORTS.kafkaController}`,
      KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
      KAFKA_LISTENERS: `MACHINE://:${PORTS.kafka},INSIDE://:${KAFKA_INSIDE},CONTROLLER://:${PORTS.kafkaController}`,
      KAFKA_ADVERTISED_LISTENERS: `MACHINE://127.0.0.1:\${${portVariable('kafka')}:-${PORTS.kafka}},INSIDE://kafka:${KAFKA_INSIDE}`,
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'MACHINE:PLAINTEXT,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT',
      KAFKA_INTER_BROKER_LISTENER_NAME: 'INSIDE',
      KAFKA_LOG_DIRS: '/var/lib/kafka/data',
      ...Object.fromEntries(
        Object.entries(KAFKA_SETTINGS).map(([name, value]) => [kafkaVariable(name), value]),
      ),
    },
    ports: published('kafka'),
    volumes: ['kafka:/var/lib/kafka/data'],
    healthcheck: healthy(shell(`nc -z localhost ${KAFKA_INSIDE}`)),
    stop_grace_period: '30s',
  },
  rabbitmq: {
    image: IMAGES.rabbitmq,
    ...common,
    // The data folder carries the host's name: without a fixed one a new container would not find its data.
    hostname: 'rabbitmq',
    environment: {
      RABBITMQ_DEFAULT_USER: rabbitmq.user,
      RABBITMQ_DEFAULT_PASS: rabbitmq.password,
      RABBITMQ_DEFAULT_VHOST: rabbitmq.vhost,
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: RABBITMQ_ERLANG,
    },
    configs: [{ source: 'rabbitmq', target: '/etc/rabbitmq/conf.d/90-weir.conf' }],
    ports: published('rabbitmq', 'rabbitmqManagement'),
    volumes: ['rabbitmq:/var/lib/rabbitmq'],
    healthcheck: healthy(
      shell('rabbitmq-diagnostics -q check_running && rabbitmq-diagnostics -q check_local_alarms'),
    ),
    stop_grace_period: '30s',
  },
  timescale: {
    image: IMAGES.timescale,
    ...common,
    command: [
      'postgres',
      ...Object.entries(POSTGRES_SETTINGS).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    environment: {
      POSTGRES_USER: postgres.user,
      POSTGRES_PASSWORD: postgres.password,
      POSTGRES_DB: postgres.database,
      // The image would otherwise write settings of its own for the whole machine.
      NO_TS_TUNE: 'true',
    },
    shm_size: '256mb',
    ports: published('postgres'),
    volumes: ['timescale:/var/lib/postgresql/data'],
    // Over TCP: while the image creates the database it listens on the socket only.
    healthcheck: healthy(shell(`pg_isready -h 127.0.0.1 -U ${postgres.user} -d ${postgres.database}`)),
    stop_signal: 'SIGINT',
    stop_grace_period: '30s',
  },
  minio: {
    image: IMAGES.minio,
    build: { context: '.', dockerfile: 'infra/docker/Dockerfile', target: 'minio' },
    ...common,
    environment: {
      MINIO_ROOT_USER: minio.accessKey,
      MINIO_ROOT_PASSWORD: minio.secretKey,
      ...MINIO_ENVIRONMENT,
    },
    ports: published('minio', 'minioConsole'),
    volumes: ['minio:/data'],
    healthcheck: healthy(['CMD', 'curl', '-fsS', `http://127.0.0.1:${PORTS.minio}/minio/health/ready`]),
  },
  redis: {
    image: IMAGES.redis,
    ...common,
    command: [
      'redis-server',
      '--requirepass',
      redis.password,
      // The empty list of snapshots is an empty argument here and two quotes in a file.
      ...Object.entries(REDIS_SETTINGS).flatMap(([name, value]) => [
        `--${name}`,
        value === '""' ? '' : String(value),
      ]),
    ],
    environment: { REDISCLI_AUTH: redis.password },
    ports: published('redis'),
    volumes: ['redis:/data'],
    healthcheck: healthy(shell('redis-cli ping | grep -q PONG')),
  },
};

const HOSTS: Readonly<Partial<Record<PortName, string>>> = {
  kafka: `kafka:${KAFKA_INSIDE}`,
  rabbitmq: `rabbitmq:${PORTS.rabbitmq}`,
  rabbitmqManagement: `rabbitmq:${PORTS.rabbitmqManagement}`,
  postgres: `timescale:${PORTS.postgres}`,
  minio: `minio:${PORTS.minio}`,
  redis: `redis:${PORTS.redis}`,
};

/** Where an app answers the others. */
const inside = (name: AppName): string => `http://${name}:${PORTS[APP_PORTS[name]]}`;

/** What every app is told, with the same variables as under the native stack. */
const appEnvironment = {
  ...serverEnvironment(PLACEHOLDERS, 0, (name) => HOSTS[name] ?? `${name}:${PORTS[name]}`),
  // Published on the machine's loopback address only, so inside it may listen everywhere.
  WEIR_PORTS__HOST: '0.0.0.0',
  WEIR_LOG__FORMAT: 'json',
  WEIR_GATEWAY__ALERTERS: inside('alerter'),
  WEIR_LAG_MONITOR__ADDRESSES: inside('lag-monitor'),
  WEIR_LAG_MONITOR__APPS: (['edge', 'aggregator', 'archiver', 'alerter'] as const)
    .map((name) => `${name}=${inside(name)}`)
    .join(','),
};

const completed = { topology: { condition: 'service_completed_successfully' } };
const up = (...names: string[]) =>
  Object.fromEntries(names.map((name) => [name, { condition: 'service_healthy' }]));

const build = { context: '.', dockerfile: 'infra/docker/Dockerfile', target: 'apps' };

function app(
  name: AppName,
  ports: readonly PortName[],
  more: Service = {},
  alsoNeeds: readonly string[] = [],
): Service {
  const ready = `fetch('http://127.0.0.1:${PORTS[APP_PORTS[name]]}/readyz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))`;
  return {
    image: IMAGES.apps,
    build,
    ...common,
    command: ['node', ...appArguments(name)],
    environment: {
      ...appEnvironment,
      ...appVariables(name),
      ...((more.environment as object | undefined) ?? {}),
    },
    depends_on: { ...completed, ...up(...alsoNeeds) },
    ports: published(...ports),
    ...(more.volumes === undefined ? {} : { volumes: more.volumes }),
    healthcheck: healthy(['CMD', 'node', '-e', ready]),
    // An app promises to drain within 15 s.
    stop_grace_period: '20s',
  };
}

const apps: Readonly<Record<string, Service>> = {
  topology: {
    image: IMAGES.apps,
    build,
    command: ['node', 'apps/cli/src/main.ts', 'topology', 'apply'],
    environment: appEnvironment,
    depends_on: up('kafka', 'rabbitmq', 'timescale', 'minio'),
    restart: 'on-failure',
  },
  edge: app('edge', ['mqtt', 'mqttTls', 'mqttWs', 'edgeHttp'], {
    environment: { WEIR_EDGE__DIR: '/var/lib/weir/edge', WEIR_EDGE__SPOOL__DIR: '/var/lib/weir/edge/spool' },
    volumes: ['edge:/var/lib/weir/edge'],
  }),
  aggregator: app('aggregator', ['aggregatorHttp']),
  archiver: app('archiver', ['archiverHttp']),
  alerter: app('alerter', ['alerterHttp']),
  'dead-letters': app('dead-letters', ['deadLettersHttp']),
  'lag-monitor': app('lag-monitor', ['lagMonitorHttp']),
  gateway: app('gateway', ['gateway'], {}, ['redis']),
};

const watchers: Readonly<Record<string, Service>> = {
  prometheus: {
    image: IMAGES.prometheus,
    ...common,
    volumes: [
      './infra/prometheus/prometheus.yml:/etc/prometheus/prometheus.yml:ro',
      './infra/prometheus/rules:/etc/prometheus/rules:ro',
      'prometheus:/prometheus',
    ],
    ports: published('prometheus'),
    healthcheck: healthy(['CMD', 'wget', '-q', '--spider', `http://127.0.0.1:${PORTS.prometheus}/-/healthy`]),
  },
  grafana: {
    image: IMAGES.grafana,
    ...common,
    depends_on: up('prometheus'),
    environment: {
      // Readable without a login, on the loopback address only; nobody can change anything.
      GF_AUTH_ANONYMOUS_ENABLED: 'true',
      GF_AUTH_ANONYMOUS_ORG_ROLE: 'Viewer',
      GF_AUTH_DISABLE_LOGIN_FORM: 'true',
      GF_ANALYTICS_REPORTING_ENABLED: 'false',
      GF_ANALYTICS_CHECK_FOR_UPDATES: 'false',
      GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH: '/var/lib/grafana/dashboards/weir.json',
    },
    volumes: [
      './infra/grafana/provisioning:/etc/grafana/provisioning:ro',
      './infra/grafana/dashboards:/var/lib/grafana/dashboards:ro',
      'grafana:/var/lib/grafana',
    ],
    ports: published('grafana'),
    healthcheck: healthy(['CMD', 'wget', '-q', '--spider', `http://127.0.0.1:${PORTS.grafana}/api/health`]),
  },
};

export const composeFile = {
  name: 'weir',
  services: { ...servers, ...apps, ...watchers },
  configs: {
    rabbitmq: {
      content: Object.entries(RABBITMQ_SETTINGS)
        .map(([name, value]) => `${name} = ${value}\n`)
        .join(''),
    },
  },
  volumes: Object.fromEntries(
    [...Object.keys(servers), 'edge', 'prometheus', 'grafana'].map((name) => [name, null]),
  ),
};
