export { openAdmin } from './admin.ts';
export { openConsumer } from './consumer.ts';
export { consumerLog } from './consumer-log.ts';
export * from './dead-letters.ts';
export { openLogReader } from './log-reader.ts';
export { openProducer } from './producer.ts';
export { openTopicIds } from './topic-ids.ts';
export type * from './types.ts';
export { forgetRecords } from './zstd.ts';
