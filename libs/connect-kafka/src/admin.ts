import type { Admin, KafkaOptions } from './types.ts';

export function openAdmin(_options: KafkaOptions): Admin {
  throw new Error('arrives with the next commit');
}
