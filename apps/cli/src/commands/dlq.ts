import { Command } from 'commander';
import type { Terminal } from '../output.ts';
import { addChanges } from './dlq/change.ts';
import { addLists } from './dlq/lists.ts';
import { addReplay } from './dlq/replay.ts';
import { addTasks } from './dlq/tasks.ts';

export function dlqCommand(terminal: Terminal): Command {
  const command = new Command('dlq').description('dead letters: what could not be processed').addHelpText(
    'after',
    `
Examples:
  $ weir dlq stats
  $ weir dlq ls --reason schema --site plant-1
  $ weir dlq show 5f0c…
  $ weir dlq edit --fingerprint 91ab… --patch '[{"op":"replace","path":"/unit","value":"C"}]' --why 'wrong unit'
  $ weir dlq park --device pump-7 --why 'its firmware is being repaired' --yes
  $ weir dlq replay --reason late --dry-run
  $ weir dlq replay --reason late --device pump-7 --why 'its clock was repaired' --yes

A replay is a task of the dead-letters app: it goes on when this command ends, and survives a crash. A replayed reading
is merged into its windows at every level, however late it is, and counts once, for ever. A message for a consumer of
RabbitMQ goes back to its queue with the id of its letter.`,
  );
  addLists(command, terminal);
  addChanges(command, terminal);
  addReplay(command, terminal);
  addTasks(command, terminal);
  return command;
}
