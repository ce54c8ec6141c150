import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { redisAnswers } from '../probes.ts';
import { accountIn } from '../provision.ts';
import { REDIS_SETTINGS } from './tuning.ts';
import type { ServerContext, ServerDefinition } from './types.ts';

const configuration = ({ credentials, port }: ServerContext): string =>
  `${[
    'bind 127.0.0.1',
    `port ${port('redis')}`,
    'protected-mode yes',
    `requirepass ${credentials.redis.password}`,
    'daemonize no',
    'dir /var/lib/redis',
    ...Object.entries(REDIS_SETTINGS).map(([name, value]) => `${name} ${value}`),
    'logfile ""',
  ].join('\n')}\n`;

export const redisServer: ServerDefinition = {
  name: 'redis',
  title: 'Redis',
  ports: ['redis'],
  stopSignal: 'SIGTERM',
  async prepare(context) {
    const { uid, gid } = accountIn(context.provisioned.root, 'redis');
    mkdirSync(context.folder, { recursive: true });
    chownSync(context.folder, uid, gid);
    chmodSync(context.folder, 0o700);
    const path = join(context.folder, 'redis.conf');
    writeFileSync(path, configuration(context), { mode: 0o600 });
    chownSync(path, uid, gid);
  },
  launch: ({ provisioned, folder }) => ({
    root: provisioned.root,
    account: accountIn(provisioned.root, 'redis'),
    binds: [[folder, '/var/lib/redis']],
    env: { PATH: '/usr/bin:/bin', HOME: '/var/lib/redis', LANG: 'C.UTF-8' },
    command: ['/usr/bin/redis-server', '/var/lib/redis/redis.conf'],
  }),
  answers: ({ port, credentials }) => redisAnswers(port('redis'), credentials.redis.password),
};
