import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kafkaToTimescale, mosquittoConf, mqttToKafka, type PeerAddresses } from './settings.ts';

const ADDRESSES: PeerAddresses = {
  mqttPort: 8_883,
  brokers: ['127.0.0.1:1', '127.0.0.1:2'],
  databaseUrl: 'postgres://weir:a"b@127.0.0.1:5432/weir',
};

/** Settings by section, read as TOML reads what is written here: a JSON value after each name. */
function sections(text: string): Map<string, Record<string, unknown>> {
  const read = new Map<string, Record<string, unknown>>();
  let current: Record<string, unknown> = {};
  for (const line of text.split('\n').filter((one) => one !== '')) {
    if (line.startsWith('[')) {
      current = {};
      read.set(line, current);
      continue;
    }
    const [, name, value] = /^(\w+) = (.+)$/.exec(line) ?? assert.fail(`not a setting: ${line}`);
    assert.ok(!((name as string) in current), `${name} twice`);
    current[name as string] = JSON.parse(value as string);
  }
  return read;
}

test('mosquitto listens on the loopback address alone and drops nothing that waits', () => {
  const lines = mosquittoConf(ADDRESSES, '/mnt').split('\n');
  assert.ok(lines.includes('listener 8883 127.0.0.1'));
  assert.ok(lines.includes('max_queued_messages 0'), 'its own limit of 1,000 would lose readings');
  assert.ok(lines.includes('persistence_location /mnt/'));
});

test('Telegraf acknowledges to mosquitto and Kafka only what the next one has', () => {
  const first = sections(mqttToKafka(ADDRESSES));
  const mqtt = first.get('[[inputs.mqtt_consumer]]');
  assert.deepEqual(mqtt?.servers, ['tcp://127.0.0.1:8883']);
  assert.equal(mqtt?.qos, 1);
  assert.equal(mqtt?.persistent_session, true, 'without a session it acknowledges at once');
  const kafka = first.get('[[outputs.kafka]]');
  assert.deepEqual(kafka?.brokers, ADDRESSES.brokers);
  assert.equal(kafka?.required_acks, -1);
  assert.equal(kafka?.routing_tag, 'device', 'a device stays in one partition, as with Weir');
  const second = sections(kafkaToTimescale(ADDRESSES));
  assert.equal(second.get('[[inputs.kafka_consumer]]')?.kafka_version, '3.6.0');
  assert.equal(second.get('[[inputs.kafka_consumer]]')?.offset, 'oldest');
  assert.equal(second.get('[[outputs.postgresql]]')?.connection, ADDRESSES.databaseUrl);
});

test('a buffer of Telegraf holds everything that may be unconfirmed, in several batches', () => {
  for (const text of [mqttToKafka(ADDRESSES), kafkaToTimescale(ADDRESSES)]) {
    const read = sections(text);
    const agent = read.get('[agent]') as Record<string, number>;
    const input = [...read].find(([name]) => name.startsWith('[[inputs.'))?.[1] as Record<string, number>;
    const [batch, buffer] = [agent.metric_batch_size ?? 0, agent.metric_buffer_limit ?? 0];
    assert.ok(buffer >= (input.max_undelivered_messages ?? 0), 'a full buffer drops its oldest');
    assert.ok((input.max_undelivered_messages ?? 0) >= 2 * batch, 'reading goes on while a batch is written');
  }
});
