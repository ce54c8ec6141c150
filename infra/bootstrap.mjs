#!/usr/bin/env node
// The first step of `npm start` and of the `weir` command. It runs on the machine's own Node (20 or newer) before
// anything is installed, so it is plain JavaScript without dependencies: it installs them when they are missing or
// older than the lockfile, then hands over to the command line on the Node of the project, or with `--run FILE` to
// another program of the checkout.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { constants as os } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const CHECKOUT = dirname(dirname(fileURLToPath(import.meta.url)));
const MODULES = join(CHECKOUT, 'node_modules');
const STAMP = join(MODULES, '.weir-install');
const NODE = join(MODULES, '.bin', 'node');
const LOCK = join(CHECKOUT, '.weir', 'install.lock');
const LOCK_WAIT_MS = 10 * 60_000;
const REPORT_EVERY_MS = 10_000;

class Refusal extends Error {}

const say = (line) => process.stderr.write(`${line}\n`);
const seconds = (since) => `${((Date.now() - since) / 1000).toFixed(0)} s`;

function isOnPath(program) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return folder !== '';
    } catch {
      return false;
    }
  });
}

function requireTools() {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < 20) {
    throw new Refusal(
      `Weir needs Node 20 or newer to begin, and this is ${process.version}: see https://nodejs.org.`,
    );
  }
  if (!isOnPath('npm'))
    throw new Refusal('Weir needs npm to install its dependencies (Debian: apt-get install npm).');
}

const digest = () =>
  createHash('sha256')
    .update(readFileSync(join(CHECKOUT, 'package-lock.json')))
    .update(`${process.platform} ${process.arch}`)
    .digest('hex');

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Whether npm's own record of what is installed names exactly the packages of the lockfile. */
function matchesLockfile() {
  const installed = read(join(MODULES, '.package-lock.json'));
  if (installed === undefined) return false;
  try {
    const here = JSON.parse(installed).packages;
    const wanted = JSON.parse(readFileSync(join(CHECKOUT, 'package-lock.json'), 'utf8')).packages;
    return Object.entries(wanted).every(([path, entry]) => {
      if (!path.startsWith('node_modules/') && !path.includes('/node_modules/')) return true;
      // Packages for other platforms are in the lockfile and rightly absent.
      if (here[path] === undefined) return entry.optional === true || entry.devOptional === true;
      return here[path].version === entry.version && here[path].integrity === entry.integrity;
    });
  } catch {
    return false;
  }
}

function isInstalled() {
  if (!existsSync(NODE)) return false;
  if (read(STAMP) === digest()) return true;
  // Somebody ran npm by hand: what counts is what is there.
  if (!matchesLockfile()) return false;
  writeFileSync(STAMP, digest());
  return true;
}

function holderLives(text) {
  const [pid, started] = text.trim().split(' ');
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    if (error.code !== 'EPERM') return false;
  }
  return startOf(pid) === started;
}

/** Start time of a process where `/proc` tells it, so that a reused number is not taken for the holder. */
function startOf(pid) {
  const stat = read(`/proc/${pid}/stat`);
  return stat === undefined ? '-' : stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

async function takeLock() {
  mkdirSync(dirname(LOCK), { recursive: true });
  const mine = `${process.pid} ${startOf(process.pid)}`;
  const begin = Date.now();
  for (let told = false; ; ) {
    try {
      writeFileSync(LOCK, mine, { flag: 'wx' });
      return;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const holder = read(LOCK);
    if (holder !== undefined && holder !== '' && !holderLives(holder)) {
      // Renamed, not removed: of two that find it stale only one can take it away.
      try {
        renameSync(LOCK, `${LOCK}.${process.pid}`);
        if (read(`${LOCK}.${process.pid}`) !== holder) renameSync(`${LOCK}.${process.pid}`, LOCK);
      } catch {
        // The other one was faster.
      }
      rmSync(`${LOCK}.${process.pid}`, { force: true });
      continue;
    }
    if (!told && holder)
      say(`Another process (${holder.split(' ')[0]}) installs the dependencies: waiting for it.`);
    told = true;
    if (Date.now() - begin > LOCK_WAIT_MS) {
      throw new Refusal(`The dependencies have been locked for 10 minutes. If no npm runs, remove ${LOCK}.`);
    }
    await delay(250);
  }
}

/** Runs `npm ci`; its output is shown only when it fails. */
async function install() {
  const begin = Date.now();
  const output = [];
  const live = process.stderr.isTTY === true;
  const state = () => `Installing the dependencies (npm ci): ${seconds(begin)}`;
  say(live ? '' : 'Installing the dependencies (npm ci) ...');
  const tick = setInterval(
    () => (live ? process.stderr.write(`\x1b[1A\x1b[2K${state()}\n`) : say(`${state()} ...`)),
    live ? 200 : REPORT_EVERY_MS,
  );
  try {
    const npm = spawn('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: CHECKOUT,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [npm.stdout, npm.stderr]) stream.on('data', (chunk) => output.push(chunk));
    const code = await new Promise((resolve, reject) => {
      npm.on('error', reject);
      npm.on('close', resolve);
    });
    if (code === 0 && existsSync(NODE)) {
      writeFileSync(STAMP, digest());
      say(`${live ? '\x1b[1A\x1b[2K' : ''}Dependencies installed in ${seconds(begin)}.`);
      return;
    }
    const why =
      code === 0
        ? 'the Node of the project is missing: was its install script refused?'
        : `exit code ${code}`;
    // npm names the mistake first and prints its usage after it; a failed script prints its own words last.
    const lines = Buffer.concat(output).toString().trimEnd().split('\n');
    const tail = lines.length <= 30 ? lines : [...lines.slice(0, 15), '...', ...lines.slice(-15)];
    throw new Refusal(
      [
        `Installing the dependencies failed (${why}).`,
        ...tail.map((line) => `    ${line}`),
        'Check that npm reaches its registry (npm ping), then start again.',
      ].join('\n'),
    );
  } finally {
    clearInterval(tick);
  }
}

async function prepare() {
  requireTools();
  if (isInstalled()) return;
  await takeLock();
  try {
    if (!isInstalled()) await install();
  } finally {
    rmSync(LOCK, { force: true });
  }
}

/** Exit code of the command line; a signal that ended it becomes 128 plus its number, as in a shell. */
function handOver(args) {
  const [script, rest] =
    args[0] === '--run' ? [args[1], args.slice(2)] : [join('apps', 'cli', 'src', 'main.ts'), args];
  const longRunning = args[0] === '--run' || args[0] === 'up';
  const command = [NODE, join(CHECKOUT, script), ...rest];
  // The long-running command stops in order even when this process is killed outright.
  if (longRunning && isOnPath('setpriv')) command.unshift('setpriv', '--pdeathsig', 'TERM');
  const child = spawn(command[0], command.slice(1), {
    stdio: 'inherit',
    // Ctrl-C reaches every process of the terminal, and npm passes it on once more: a session of its own leaves
    // this process as the only one that tells the child, once for each time that a person meant it. Short commands
    // stay on the terminal, which they may read.
    detached: longRunning,
  });
  let last = 0;
  const pass = (signal) => {
    if (!longRunning && signal === 'SIGINT') return; // The terminal told the child itself.
    if (Date.now() - last < 500) return;
    last = Date.now();
    child.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => pass(signal));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => resolve(code ?? 128 + (os.signals[signal] ?? 0)));
  });
}

try {
  await prepare();
  process.exitCode = await handOver(process.argv.slice(2));
} catch (error) {
  say(error instanceof Refusal ? error.message : (error.stack ?? String(error)));
  process.exitCode = 1;
}
