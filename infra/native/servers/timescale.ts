import { chmodSync, chownSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Launch, oneShot } from '../launch.ts';
import { accountIn } from '../provision.ts';
import { run } from '../run.ts';
import { POSTGRES_SETTINGS } from './tuning.ts';
import type { ServerContext, ServerDefinition } from './types.ts';

const BIN = '/usr/lib/postgresql/17/bin';
const HOME = '/var/lib/postgresql';
const ENV = { PATH: `${BIN}:/usr/bin:/bin`, HOME, LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8' };

function configuration({ port }: ServerContext): string {
  const settings: Record<string, string | number> = {
    listen_addresses: '127.0.0.1',
    port: port('postgres'),
    unix_socket_directories: '/run/postgresql',
    ...POSTGRES_SETTINGS,
    log_line_prefix: '%m [%p] %d ',
  };
  return `${Object.entries(settings)
    .map(([name, value]) => `${name} = '${value}'`)
    .join('\n')}\n`;
}

function inRoot({ provisioned, folder }: ServerContext, command: [string, ...string[]]): Launch {
  const account = accountIn(provisioned.root, 'postgres');
  return {
    root: provisioned.root,
    account,
    binds: [[folder, HOME]],
    runFolders: [['/run/postgresql', account]],
    env: ENV,
    command,
  };
}

/** Creates the cluster in a folder beside and renames it at the end, so a killed first start leaves no half cluster. */
async function createCluster(context: ServerContext): Promise<void> {
  const { folder, credentials } = context;
  const { user, password, database } = credentials.postgres;
  const wayOut = `Delete ${folder} to start it empty.`;
  rmSync(join(folder, 'new'), { recursive: true, force: true });
  const initdb = [`--pgdata=${HOME}/new`, '--encoding=UTF8', '--locale=C.UTF-8', '--auth-local=peer'];
  const create = oneShot(
    inRoot(context, [`${BIN}/initdb`, ...initdb, '--auth-host=scram-sha-256', '--data-checksums']),
  );
  await run(create.program, create.args, { what: 'Creating the PostgreSQL cluster', wayOut });
  const single = oneShot(inRoot(context, [`${BIN}/postgres`, '--single', '-D', `${HOME}/new`, 'postgres']));
  await run(single.program, single.args, {
    what: 'Creating the PostgreSQL role and database',
    wayOut,
    input: `CREATE ROLE ${user} LOGIN CREATEDB PASSWORD '${password}'\nCREATE DATABASE ${database} OWNER ${user}\n`,
  });
  renameSync(join(folder, 'new'), join(folder, 'data'));
}

export const timescaleServer: ServerDefinition = {
  name: 'timescale',
  title: 'PostgreSQL with TimescaleDB',
  ports: ['postgres'],
  stopSignal: 'SIGINT', // Fast shutdown: SIGTERM would wait for every client to leave.
  async prepare(context) {
    const { uid, gid } = accountIn(context.provisioned.root, 'postgres');
    mkdirSync(context.folder, { recursive: true });
    chownSync(context.folder, uid, gid);
    chmodSync(context.folder, 0o700);
    if (!existsSync(join(context.folder, 'data'))) await createCluster(context);
    const settings = join(context.folder, 'weir.conf');
    writeFileSync(settings, configuration(context), { mode: 0o600 });
    chownSync(settings, uid, gid);
    // Only a SIGKILLed server leaves it, and its process number means nothing in a new process namespace.
    rmSync(join(context.folder, 'data', 'postmaster.pid'), { force: true });
  },
  launch: (context) =>
    inRoot(context, [
      `${BIN}/postgres`,
      '-D',
      `${HOME}/data`,
      `--config-file=${HOME}/weir.conf`,
      `--hba-file=${HOME}/data/pg_hba.conf`,
      `--ident-file=${HOME}/data/pg_ident.conf`,
    ]),
  async answers({ provisioned, credentials, port }) {
    const { user, password, database } = credentials.postgres;
    const query = "SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb'";
    const options = [
      '-h',
      '127.0.0.1',
      '-p',
      String(port('postgres')),
      '-U',
      user,
      '-d',
      database,
      '-w',
      '-X',
      '-At',
    ];
    const answer = await run('chroot', [provisioned.root, `${BIN}/psql`, ...options, '-c', query], {
      what: 'Asking PostgreSQL',
      wayOut: '',
      env: { PGPASSWORD: password, PGCONNECT_TIMEOUT: '2', LC_ALL: 'C.UTF-8' },
    });
    if (answer.trim() !== '1') throw new Error('PostgreSQL does not offer the timescaledb extension');
  },
};
