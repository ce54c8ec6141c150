import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { DeadLetterAudit, DeadLetterDetail, DeadLetterList, Replay } from '@weir/api';
import { openPublisher } from '@weir/connect-rabbitmq';
import { createLogger } from '@weir/observe';
import { atEnd, isolated, spawnApp, until } from '@weir/testkit';
import { EXCHANGES, eventKey } from '@weir/topology';
import { weir } from '../support/pipeline.ts';

const log = createLogger({ app: 'test', level: 'error', format: 'json' });

test('a poison message that is replayed again and again ends parked, by a person or by a policy; the audit says who', {
  timeout: 600_000,
}, async (t) => {
  const space = await isolated(t);
  await weir(space.env, 'topology', 'apply');
  const [, index, gateway] = await Promise.all([
    spawnApp(t, 'alerter', space.env),
    spawnApp(t, 'dead-letters', space.env),
    spawnApp(t, 'gateway', space.env),
  ]);
  const publisher = openPublisher({ url: space.rabbitmqUrl, name: 'test', log });
  atEnd(t, () => publisher.close());
  const get = async <T>(path: string): Promise<T> => {
    const response = await fetch(`${gateway.url}/api/v1/dead-letters${path}`);
    assert.equal(response.status, 200, await response.clone().text());
    return (await response.json()) as T;
  };
  const poison = async (body: string): Promise<string> => {
    const failures = await publisher.publish([
      {
        exchange: EXCHANGES.events.name,
        key: eventKey('plant', 'started'),
        body: Buffer.from(body),
        contentType: 'application/json',
      },
    ]);
    assert.equal(failures.size, 0);
    return until(
      async () => {
        const { letters } = await get<DeadLetterList>('?reason=decode');
        const shown = await Promise.all(letters.map(({ id }) => get<DeadLetterDetail>(`/${id}`)));
        return shown.find(({ original }) => original?.text === body)?.id;
      },
      { deadlineMs: 60_000, what: `the letter of ${body}`, everyMs: 500 },
    );
  };
  const letter = (id: string): Promise<DeadLetterDetail> => get(`/${id}`);
  const parkings = async (id: string): Promise<DeadLetterAudit['entries']> => {
    const { entries } = await get<DeadLetterAudit>('/audit');
    return entries.filter(({ action, subject }) => action === 'dead-letter.park' && subject === id);
  };

  const id = await poison('poison');
  const replay = async (...more: string[]): Promise<Replay> => {
    const args = ['dlq', 'replay', '--id', id, '--why', 'perhaps now', '--by', 'anna', '--yes', '--json'];
    return JSON.parse(await weir(space.env, ...args, ...more)) as Replay;
  };
  for (let round = 1; round <= 3; round++) {
    const { sent, parked } = await replay();
    assert.deepEqual([sent, parked], [1, 0], `round ${round}`);
    await until(
      async () => {
        const { status, replayCount } = await letter(id);
        return status === 'open' && replayCount === round;
      },
      { deadlineMs: 60_000, what: `return ${round}`, everyMs: 500 },
    );
  }
  const last = await replay();
  assert.deepEqual([last.plan?.park, last.sent, last.parked], [1, 0, 1]);
  const parked = await letter(id);
  assert.deepEqual([parked.status, parked.statusBy, parked.replayCount], ['parked', 'anna', 3]);
  assert.match(parked.statusWhy ?? '', /sent 3 times/);
  const [who, ...others] = await parkings(id);
  assert.deepEqual([who?.actor, others.length], ['anna', 0]);
  assert.match(who?.why ?? '', /sent 3 times, and the limit is 3; replay .*: perhaps now/);
  // Put aside is put aside; who insists and names it gets no further either.
  assert.equal((await replay()).plan?.letters, 0);
  assert.deepEqual([(await replay('--status', 'parked')).parked, (await letter(id)).status], [1, 'parked']);

  // Nobody asks any more: a policy replays what nobody could ever read, and ends all the same.
  const config = join(space.folder, 'weir.yaml');
  writeFileSync(config, 'deadLetters:\n  policies:\n    - reason: decode\n      healthyFor: 1s\n');
  await index.stop();
  await index.restart({ WEIR_CONFIG: config });
  const other = await poison('poison of another kind');
  await until(async () => (await letter(other)).status === 'parked', {
    deadlineMs: 90_000,
    what: 'the policy to give it up',
    everyMs: 1_000,
  });
  const given = await letter(other);
  assert.deepEqual([given.replayCount, given.statusBy], [3, 'policy decode']);
  const [policy] = await parkings(other);
  assert.equal(policy?.actor, 'policy decode');
  assert.match(policy?.why ?? '', /sent 3 times, .* has been well for/);
});
