import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { DeadLetterList, DeadLetterSelection } from '@weir/api';
import type { Database } from '@weir/connect-timescale';
import {
  commandTask,
  createTask,
  findTask,
  type ReplayTask,
  type TaskCommand,
  type TaskState,
} from '@weir/dead-letters';
import { atEnd, type Isolated, type Scope, until } from '@weir/testkit';
import { connect } from 'amqplib';
import { CONSUMER_QUEUE } from './letters.ts';
import { weir } from './pipeline.ts';

const ENDED: readonly TaskState[] = ['done', 'cancelled', 'failed'];

/** Replays of a test, by way of the database as the gateway asks for them. */
export class Replays {
  readonly #database: Database;
  constructor(database: Database) {
    this.#database = database;
  }

  async begin(selection: DeadLetterSelection, rate: number, starts = true): Promise<string> {
    const id = randomUUID();
    const asked = { id, by: 'test', why: 'a test', selection, rate, maxReplays: 3, starts };
    await this.#database.transaction('test', (transaction) => createTask(transaction, asked));
    return id;
  }

  async command(id: string, command: TaskCommand): Promise<void> {
    await commandTask(this.#database, id, command, { by: 'test', why: 'as wanted' });
  }

  async find(id: string): Promise<ReplayTask> {
    return (await findTask(this.#database, id)) as ReplayTask;
  }

  /** Waits until a task is in this state; one that ends otherwise fails the test. */
  async reached(id: string, state: TaskState): Promise<ReplayTask> {
    const task = await until(
      async () => {
        const found = await this.find(id);
        return found.state === state || ENDED.includes(found.state) ? found : false;
      },
      { deadlineMs: 120_000, what: `replay ${id} to be ${state}` },
    );
    assert.equal(task.state, state, task.stateWhy);
    return task;
  }
}

/** What the consumer of a queue gets, with the id of each message. */
export async function listen(scope: Scope, space: Isolated): Promise<{ id: string; body: Buffer }[]> {
  const got: { id: string; body: Buffer }[] = [];
  const connection = await connect(space.rabbitmqUrl);
  connection.on('error', () => undefined);
  atEnd(scope, () => connection.close());
  const channel = await connection.createChannel();
  await channel.prefetch(500);
  await channel.consume(CONSUMER_QUEUE, (message) => {
    if (message === null) return;
    got.push({ id: String(message.properties.messageId), body: message.content });
    channel.ack(message);
  });
  return got;
}

/** Waits until so many late letters are in the index. */
export async function indexed(space: Isolated, count: number): Promise<void> {
  await until(
    async () => {
      const page: DeadLetterList = JSON.parse(
        await weir(space.env, 'dlq', 'ls', '--reason', 'late', '--limit', '500', '--json'),
      );
      return page.letters.length >= count;
    },
    { deadlineMs: 60_000, what: `${count} late letters in the index`, everyMs: 500 },
  );
}
