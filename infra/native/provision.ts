import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WeirError } from '@weir/flow';
import { type Build, cached, cacheRoot, isBuilt } from './cache.ts';
import { confined } from './launch.ts';
import { requireDisk } from './resources.ts';
import { findProgram, type OnProgress, run } from './run.ts';

export const VERSIONS = {
  debian: 'trixie',
  kafka: '4.1.0',
  scala: '2.13',
  slf4j: '1.7.36',
  minio: 'v0.0.0-20260212201848-7aac2a2c5b7c',
  toxiproxy: 'v2.5.0',
  telegraf: 'v1.37.2',
} as const;

const USE_CONTAINERS = 'or use `docker compose up` instead.';
/** Raise when the recipe of a root folder changes. */
const ROOT_RECIPES = { servers: 1, extras: 2 } as const;

export interface Provisioned {
  /** Debian root folder with RabbitMQ, Redis and PostgreSQL; never written after it is built. */
  readonly root: string;
  /** Folder of Kafka's jars. */
  readonly kafkaLib: string;
  readonly java: string;
  /** Path of the MinIO binary. */
  readonly minio: string;
}

function need(program: string, install: string): string {
  const path = findProgram(program);
  if (path !== undefined) return path;
  throw new WeirError(
    'WEIR_TOOL_MISSING',
    'fatal',
    `\`${program}\` is not installed. ${install}, ${USE_CONTAINERS}`,
  );
}

function requireRoot(): void {
  if (process.platform !== 'linux') {
    throw new WeirError(
      'WEIR_TOOL_MISSING',
      'fatal',
      'The native servers need Linux: use `docker compose up` instead.',
    );
  }
  if (process.getuid?.() !== 0) {
    throw new WeirError(
      'WEIR_TOOL_MISSING',
      'fatal',
      `The native servers need root (private mounts and users of their own). Run this as root, ${USE_CONTAINERS}`,
    );
  }
  for (const program of ['unshare', 'setpriv', 'flock', 'chroot']) {
    need(program, 'On Debian: apt-get install util-linux coreutils');
  }
}

async function java17(): Promise<string> {
  const install = 'Kafka needs Java 17 or newer (Debian: apt-get install openjdk-17-jre-headless)';
  const java = need('java', install);
  const text = await run(java, ['-version'], { what: 'Asking Java for its version', wayOut: `${install}.` });
  const major = Number(/version "(\d+)/.exec(text)?.[1]);
  if (major >= 17) return java;
  throw new WeirError(
    'WEIR_TOOL_MISSING',
    'fatal',
    `Java ${major} is too old. ${install}, ${USE_CONTAINERS}`,
  );
}

/** The machine's own Debian mirror and apt proxy, so that the root folder is fetched from where the machine fetches. */
async function aptSettings(): Promise<{ mirror: string | undefined; options: string[] }> {
  const say = { what: 'Reading the apt configuration', wayOut: '' };
  const targets = await run(
    'apt-get',
    ['indextargets', '--format', '$(LABEL)|$(REPO_URI)', 'Created-By: Packages'],
    say,
  ).catch(() => '');
  const mirror = targets
    .split('\n')
    .find((line) => line.startsWith('Debian|'))
    ?.slice('Debian|'.length);
  const dump = await run('apt-config', ['dump', 'Acquire'], say).catch(() => '');
  const options = dump
    .split('\n')
    .filter(
      (line) => /^Acquire::https?::(.*::)?Proxy(-Auto-Detect)? "."?/i.test(line) && !line.endsWith('"";'),
    )
    .map((line) => `--aptopt=${line}`);
  return { mirror, options };
}

async function mmdebstrap(onLine: (line: string) => void): Promise<string> {
  const present = findProgram('mmdebstrap');
  if (present !== undefined) return present;
  const aptGet = need(
    'apt-get',
    'The servers are taken from Debian packages, and this machine is not a Debian: install mmdebstrap',
  );
  const wayOut = `Check the network and \`apt-get update\`, ${USE_CONTAINERS}`;
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  await run(aptGet, ['update'], { what: 'apt-get update', wayOut, env, onLine });
  await run(aptGet, ['install', '-y', '--no-install-recommends', 'mmdebstrap'], {
    what: 'Installing mmdebstrap',
    wayOut,
    env,
    onLine,
  });
  return need('mmdebstrap', 'Install it by hand (apt-get install mmdebstrap)');
}

function debianRoot(name: keyof typeof ROOT_RECIPES, what: string, packages: readonly string[]): Build {
  return {
    key: `${name}-${VERSIONS.debian}.${ROOT_RECIPES[name]}`,
    what,
    async build(folder, onLine) {
      const program = await mmdebstrap(onLine);
      const { mirror, options } = await aptSettings();
      const include = `--include=${['ca-certificates', ...packages].join(',')}`;
      const args = ['--variant=minbase', include, ...options, VERSIONS.debian, join(folder, 'root')];
      const build = confined(program, mirror === undefined ? args : [...args, mirror]);
      await run(build.program, build.args, {
        what: `Building a Debian ${VERSIONS.debian} folder with ${what}`,
        wayOut: `Check that this machine's Debian mirror answers, ${USE_CONTAINERS}`,
        onLine,
      });
      // The root is mounted read-only: what a server resolves must not depend on the machine's own hosts file.
      writeFileSync(join(folder, 'root', 'etc', 'hosts'), '127.0.0.1\tlocalhost\n');
    },
  };
}

const serversRoot = debianRoot('servers', 'RabbitMQ, Redis, PostgreSQL and TimescaleDB', [
  'rabbitmq-server',
  'redis-server',
  'postgresql-17',
  'postgresql-17-timescaledb',
]);
const extrasRoot = debianRoot('extras', 'promtool, Alertmanager, docker-compose and mosquitto (for tests)', [
  'prometheus',
  'prometheus-alertmanager',
  'docker-compose',
  'mosquitto',
  'mosquitto-clients',
]);

const dependency = (group: string, artifact: string, version: string): string =>
  `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`;

const kafkaJars: Build = {
  key: `kafka-${VERSIONS.kafka}`,
  what: `Kafka ${VERSIONS.kafka}`,
  async build(folder, onLine) {
    const mvn = need('mvn', 'Kafka is fetched with Maven (Debian: apt-get install maven)');
    const work = mkdtempSync(join(tmpdir(), 'weir-kafka-'));
    try {
      const pom = join(work, 'pom.xml');
      writeFileSync(
        pom,
        `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>weir</groupId>` +
          `<artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging><dependencies>` +
          dependency('org.apache.kafka', `kafka_${VERSIONS.scala}`, VERSIONS.kafka) +
          dependency('org.apache.kafka', 'kafka-tools', VERSIONS.kafka) +
          // Without a binding Kafka logs nothing at all, not even why it stopped.
          dependency('org.slf4j', 'slf4j-simple', VERSIONS.slf4j) +
          `</dependencies></project>`,
      );
      const goal = ['dependency:copy-dependencies', `-DoutputDirectory=${join(folder, 'lib')}`];
      await run(mvn, ['-B', '-f', pom, ...goal], {
        what: 'Fetching Kafka with Maven',
        wayOut: `Check that Maven can reach its repository (~/.m2/settings.xml), ${USE_CONTAINERS}`,
        cwd: work,
        onLine,
      });
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  },
};

function goProgram(
  name: string,
  module: string,
  version: string,
  { builtAs = name, tags = '', recipe = '' } = {},
): Build {
  return {
    key: `${name}-${version}${recipe}`,
    what: `${name} (${version})`,
    async build(folder, onLine) {
      const go = need(
        'go',
        `${name} is built with Go (Debian: apt-get install golang-go, or https://go.dev/dl)`,
      );
      const bin = join(folder, 'bin');
      mkdirSync(bin);
      await run(go, ['install', '-v', '-tags', tags, `${module}@${version}`], {
        what: `Building ${name}`,
        wayOut: `Check that Go can reach its module proxy (go env GOPROXY), ${USE_CONTAINERS}`,
        env: { GOBIN: bin, GOFLAGS: '' },
        onLine,
      });
      if (builtAs !== name) copyFileSync(join(bin, builtAs), join(bin, name));
      chmodSync(join(bin, name), 0o755);
    },
  };
}

const minioProgram = goProgram('minio', 'github.com/minio/minio', VERSIONS.minio);
const toxiproxyProgram = goProgram(
  'toxiproxy',
  'github.com/Shopify/toxiproxy/v2/cmd/server',
  VERSIONS.toxiproxy,
  { builtAs: 'server' },
);
/** Only the plugins of the benchmark's peer chain: a sixth of the time and size of all of them. */
const telegrafProgram = goProgram(
  'telegraf',
  'github.com/influxdata/telegraf/cmd/telegraf',
  VERSIONS.telegraf,
  {
    tags: [
      'custom',
      ...['inputs.mqtt_consumer', 'inputs.kafka_consumer', 'outputs.kafka', 'outputs.postgresql'],
      ...['parsers.json', 'parsers.influx', 'serializers.json', 'serializers.influx'],
    ].join(','),
    recipe: '.1',
  },
);

/**
 * Builds whatever the native stack still lacks, in parallel, and returns where it is; a second call takes no time.
 * @throws WeirError WEIR_TOOL_MISSING (what to install), WEIR_RESOURCES (disk), WEIR_STATE (a tool failed: its last
 * lines and the way out).
 */
export async function provision(onProgress: OnProgress = () => {}): Promise<Provisioned> {
  requireRoot();
  const java = await java17();
  const builds = [serversRoot, kafkaJars, minioProgram];
  const first = builds.some((build) => !isBuilt(build.key));
  if (first) {
    requireDisk(cacheRoot(), 5);
    // Known before anything is fetched: a missing tool must not show up after two minutes of building.
    if (!isBuilt(kafkaJars.key)) need('mvn', 'Kafka is fetched with Maven (Debian: apt-get install maven)');
    if (!isBuilt(minioProgram.key)) need('go', 'MinIO is built with Go (Debian: apt-get install golang-go)');
  }
  const folders = await Promise.allSettled(builds.map((build) => cached(build, onProgress)));
  const [root, kafka, minio] = folders.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  }) as [string, string, string];
  return { root: join(root, 'root'), kafkaLib: join(kafka, 'lib'), java, minio: join(minio, 'bin', 'minio') };
}

/** Debian root folder with promtool, Alertmanager, docker-compose and mosquitto, built on demand; only tests use it. */
export async function provisionExtras(onProgress: OnProgress = () => {}): Promise<string> {
  requireRoot();
  return join(await cached(extrasRoot, onProgress), 'root');
}

/** Path of the toxiproxy server, built on demand; only tests use it. */
export async function provisionToxiproxy(onProgress: OnProgress = () => {}): Promise<string> {
  return join(await cached(toxiproxyProgram, onProgress), 'bin', 'toxiproxy');
}

/** Path of a Telegraf with the plugins of the benchmark's peer chain, built on demand; only the benchmark uses it. */
export async function provisionTelegraf(onProgress: OnProgress = () => {}): Promise<string> {
  return join(await cached(telegrafProgram, onProgress), 'bin', 'telegraf');
}

/** Numeric user and group of an account inside a root folder. */
export function accountIn(root: string, account: string): { uid: number; gid: number } {
  const line = readFileSync(join(root, 'etc', 'passwd'), 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${account}:`));
  const [, , uid, gid] = line?.split(':') ?? [];
  if (uid === undefined || gid === undefined || !existsSync(root)) {
    throw new WeirError(
      'WEIR_STATE',
      'fatal',
      `The folder ${root} lacks the account "${account}": delete ${cacheRoot()} and start again.`,
    );
  }
  return { uid: Number(uid), gid: Number(gid) };
}
