import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { retryAfterMs } from './http.ts';
import { signed } from './webhook.ts';

const now = Math.floor(Date.now() / 1_000);
const body = '{"alerts":[]}';
const key = Buffer.from('a secret of twenty-four!').toString('base64');

test('a receiver with the library of Standard Webhooks accepts the signature, and only of this message', () => {
  const receiver = new Webhook(`whsec_${key}`);
  const headers = signed(`whsec_${key}`, 'a/firing', now, body);
  assert.deepEqual(receiver.verify(body, headers), { alerts: [] });
  assert.throws(() => receiver.verify(`${body} `, headers), /signature/i);
  assert.throws(() => receiver.verify(body, { ...headers, 'webhook-id': 'b/firing' }), /signature/i);
  assert.throws(() => receiver.verify(body, signed(`whsec_${key}`, 'a/firing', now - 600, body)), /old/i);
});

test('while one secret replaces the other, receivers with either accept', () => {
  const headers = signed(`whsec_${key} a plain text`.replaceAll(' plain ', '-plain-'), 'a', now, body);
  assert.equal(headers['webhook-signature']?.split(' ').length, 2);
  assert.ok(new Webhook(`whsec_${key}`).verify(body, headers));
  assert.ok(new Webhook('a-plain-text', { format: 'raw' }).verify(body, headers));
});

test('Retry-After is seconds or a date', () => {
  const at = Date.parse('2026-01-01T00:00:00Z');
  assert.equal(retryAfterMs('120', at), 120_000);
  assert.equal(retryAfterMs('Thu, 01 Jan 2026 00:01:00 GMT', at), 60_000);
  assert.equal(retryAfterMs('Wed, 31 Dec 2025 00:01:00 GMT', at), 0);
  for (const nothing of [null, 'soon', '-5', '']) assert.equal(retryAfterMs(nothing, at), undefined);
});
