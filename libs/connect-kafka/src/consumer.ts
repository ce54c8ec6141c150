import type { Consumer, ConsumerOptions } from './types.ts';

export function openConsumer(_options: ConsumerOptions): Consumer {
  throw new Error('arrives with the next commit');
}
