declare module 'aedes-persistence-level/asyncPersistence.js' {
  import type { Readable } from 'node:stream';

  class AsyncLevelPersistence {
    constructor(db: unknown);
    setup(broker: unknown): Promise<void>;
    addSubscriptions(client: object, subscriptions: readonly object[]): Promise<void>;
    removeSubscriptions(client: object, topics: readonly string[]): Promise<void>;
    subscriptionsByClient(client: object): Promise<object[]>;
    cleanSubscriptions(client: object): Promise<void>;
    outgoingEnqueue(to: object, packet: unknown): Promise<void>;
    outgoingClearMessageId(client: object, packet: unknown): Promise<unknown>;
    outgoingStream(client: object): Readable;
    createRetainedStreamCombi(patterns: readonly string[]): Readable;
    streamWill(brokers: object | null): Readable;
    putWill(client: object, packet: object): Promise<void>;
    delWill(client: object): Promise<unknown>;
    incomingStorePacket(client: object, packet: object): Promise<void>;
    cleanIncoming(client: object): Promise<void>;
    incomingGetPacket(client: object, packet: object): Promise<unknown>;
    incomingDelPacket(client: object, packet: object): Promise<void>;
    destroy(): Promise<void>;
  }
  export = AsyncLevelPersistence;
}
declare module 'mqemitter' {
  interface Message {
    readonly topic: string;
  }
  interface Emitter {
    on(topic: string, notify: unknown, done?: () => void): this;
    removeListener(topic: string, notify: unknown, done?: () => void): this;
    emit(message: Message, done?: (error?: Error) => void): this;
    close(done: () => void): this;
  }
  function mqemitter(options: { concurrency: number; matchEmptyLevels: boolean }): Emitter;
  export = mqemitter;
}
