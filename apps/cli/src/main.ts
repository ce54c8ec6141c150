import { realTerminal } from './output.ts';
import { runCommand } from './program.ts';

// A reader that has seen enough (`weir archive cat | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await runCommand(process.argv.slice(2), realTerminal());
