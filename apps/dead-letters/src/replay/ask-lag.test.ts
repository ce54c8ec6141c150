import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { LagDetail, LagVerdict } from '@weir/api';
import { askLag } from './ask-lag.ts';

const at = new Date(0).toISOString();
function detail(verdict: LagVerdict): LagDetail {
  return {
    group: {
      ...{
        system: 'kafka',
        group: 'g',
        ours: true,
        topics: ['t'],
        partitions: 1,
        state: 'Stable',
        consumers: 1,
      },
      ...{
        headAgeMs: null,
        unacked: null,
        judgedAt: at,
        lag: 7,
        timeLagMs: 90_000,
        velocity: 1,
        etaMs: null,
      },
      ...{ retentionMarginItems: 3, timeToLossMs: null, inRate: 2, outRate: 1, verdict, since: at },
      rule: { number: 12, name: 'behind', text: 'it is behind', numbers: {} },
    },
    members: [],
  };
}

test('a replay hears of WARN or worse; a monitor that is away, or knows nothing, holds nothing back', async (t) => {
  const asked: (string | undefined)[] = [];
  let answer: LagDetail | null = null;
  const server = createServer((request, response) => {
    asked.push(request.url);
    response.writeHead(answer === null ? 404 : 200).end(JSON.stringify(answer ?? { title: 'no such group' }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const here = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const ask = askLag(['http://127.0.0.1:1', here]);
  assert.equal(await ask('kafka', 'weir.aggregator'), null);
  assert.deepEqual(asked, ['/lag/group?system=kafka&group=weir.aggregator']);
  for (const verdict of ['WARN', 'ERR', 'STOP', 'STALL'] as const) {
    answer = detail(verdict);
    assert.equal(await ask('kafka', 'g'), `the lag monitor calls it ${verdict}: it is behind`);
  }
  for (const verdict of ['OK', 'UNKNOWN', 'REWIND'] as const) {
    answer = detail(verdict);
    assert.equal(await ask('kafka', 'g'), null);
  }
  assert.equal(await askLag(['http://127.0.0.1:1'])('kafka', 'g'), null);
});
