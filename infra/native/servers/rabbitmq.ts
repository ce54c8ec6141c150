import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rabbitAnswers } from '../probes.ts';
import { accountIn } from '../provision.ts';
import { RABBITMQ_ERLANG, RABBITMQ_SETTINGS } from './tuning.ts';
import type { ServerContext, ServerDefinition } from './types.ts';

function configuration({ credentials, port }: ServerContext): string {
  const { user, password, vhost } = credentials.rabbitmq;
  return `${[
    `listeners.tcp.local = 127.0.0.1:${port('rabbitmq')}`,
    'management.tcp.ip = 127.0.0.1',
    `management.tcp.port = ${port('rabbitmqManagement')}`,
    // Used once, when the node is created; its database keeps them afterwards.
    `default_user = ${user}`,
    `default_pass = ${password}`,
    `default_vhost = ${vhost}`,
    ...Object.entries(RABBITMQ_SETTINGS).map(([name, value]) => `${name} = ${value}`),
  ].join('\n')}\n`;
}

export const rabbitmqServer: ServerDefinition = {
  name: 'rabbitmq',
  title: 'RabbitMQ',
  ports: ['rabbitmq', 'rabbitmqManagement', 'rabbitmqDistribution', 'epmd'],
  stopSignal: 'SIGTERM',
  async prepare(context) {
    const { uid, gid } = accountIn(context.provisioned.root, 'rabbitmq');
    for (const name of ['data', 'etc', 'log']) {
      const folder = join(context.folder, name);
      mkdirSync(folder, { recursive: true });
      chownSync(folder, uid, gid);
      chmodSync(folder, 0o750);
    }
    const write = (name: string, text: string) => {
      const path = join(context.folder, 'etc', name);
      writeFileSync(path, text, { mode: 0o600 });
      chownSync(path, uid, gid);
    };
    write('rabbitmq.conf', configuration(context));
    write('enabled_plugins', '[rabbitmq_management].\n');
  },
  launch({ provisioned, folder, port }) {
    const account = accountIn(provisioned.root, 'rabbitmq');
    return {
      root: provisioned.root,
      account,
      binds: [
        [join(folder, 'data'), '/var/lib/rabbitmq'],
        [join(folder, 'etc'), '/etc/rabbitmq'],
        [join(folder, 'log'), '/var/log/rabbitmq'],
      ],
      runFolders: [['/run/rabbitmq', account]],
      env: {
        PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
        HOME: '/var/lib/rabbitmq',
        LANG: 'C.UTF-8',
        RABBITMQ_NODENAME: 'weir@localhost',
        RABBITMQ_DIST_PORT: String(port('rabbitmqDistribution')),
        // Two stacks have the same node name, each with a port mapper of its own.
        ERL_EPMD_PORT: String(port('epmd')),
        ERL_EPMD_ADDRESS: '127.0.0.1',
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `${RABBITMQ_ERLANG} -kernel inet_dist_use_interface {127,0,0,1}`,
        RABBITMQ_LOG: '-color',
        // Makes the start script become the Erlang machine instead of waiting for it as a parent.
        RUNNING_UNDER_SYSTEMD: 'true',
      },
      command: ['/usr/lib/rabbitmq/bin/rabbitmq-server'],
    };
  },
  answers: ({ port, env, credentials }) =>
    rabbitAnswers(port('rabbitmq'), env.WEIR_RABBITMQ__MANAGEMENT_URL ?? '', credentials.rabbitmq.vhost),
};
