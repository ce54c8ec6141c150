import { realTerminal } from '../output.ts';
import { Progress } from '../progress.ts';
import { containerServers } from './container-servers.ts';
import { nativeServers } from './native-servers.ts';
import { readRun } from './run-file.ts';
import { readFigures, STOPPED, type View, viewOf } from './view.ts';

/** What another process runs in this folder, seen from outside. */
export async function collectView(folder: string): Promise<View> {
  const found = readRun(folder);
  if (found === undefined || !found.alive) return STOPPED;
  const { run } = found;
  const options = { dataDir: folder, portOffset: run.portOffset, progress: new Progress(realTerminal()) };
  const servers =
    run.servers === 'native' ? nativeServers({ ...options, onExit: () => {} }) : containerServers(options);
  const [lines, said] = await Promise.all([servers.status(), readFigures(run.portOffset)]);
  return viewOf(run, lines, said);
}
