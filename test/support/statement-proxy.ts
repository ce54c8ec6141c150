import { connect, createServer, type Socket } from 'node:net';
import { atEnd, type Scope } from '@weir/testkit';

/** Where in a transaction something goes wrong. */
export interface StatementFault {
  /** Index of the statement in its transaction (0 is BEGIN), or its whole text. */
  readonly at: number | string;
  /**
   * before: the server never sees it; during: half of the first data of a COPY arrives; after: it is done, and its
   * answer is lost. The connection is cut in each case.
   */
  readonly when: 'before' | 'during' | 'after';
  /** Only a transaction with a statement that contains this. */
  readonly within: string;
}

const LENGTH_BYTES = 4;

/** The messages of one direction of PostgreSQL's protocol, version 3 (message formats: chapter 53.7). */
class Messages {
  #rest: Buffer = Buffer.alloc(0);
  /** The first message of a client has no type. */
  #untyped: boolean;

  constructor(untyped: boolean) {
    this.#untyped = untyped;
  }

  *take(chunk: Buffer): Generator<{ readonly type: string; readonly bytes: Buffer }, void, undefined> {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const head = this.#untyped ? 0 : 1;
      if (this.#rest.length < head + LENGTH_BYTES) return;
      const length = head + this.#rest.readInt32BE(head);
      if (this.#rest.length < length) return;
      const bytes = this.#rest.subarray(0, length);
      this.#rest = this.#rest.subarray(length);
      const type = this.#untyped ? '' : String.fromCharCode(bytes[0] as number);
      this.#untyped = false;
      yield { type, bytes };
    }
  }
}

/** The statement that a client message begins, or null. */
function statementOf(type: string, bytes: Buffer): string | null {
  // Query: the text. Parse: the name of the statement, then the text.
  if (type === 'Q') return bytes.toString('utf8', 5, bytes.length - 1);
  if (type !== 'P') return null;
  const start = bytes.indexOf(0, 5) + 1;
  return bytes.toString('utf8', start, bytes.indexOf(0, start));
}

/** A proxy in front of PostgreSQL that knows where the statements of a transaction begin and end. */
export class StatementProxy {
  readonly #target: URL;
  readonly #sockets = new Set<Socket>();
  #fault: (StatementFault & { fired: (statement: string) => void }) | null = null;
  readonly #committed: (readonly string[])[] = [];
  #port = 0;

  private constructor(target: URL) {
    this.#target = target;
  }

  static async open(scope: Scope, target: string): Promise<StatementProxy> {
    const proxy = new StatementProxy(new URL(target));
    const server = createServer((client) => proxy.#connect(client));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    proxy.#port = (server.address() as { port: number }).port;
    atEnd(scope, async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of proxy.#sockets) socket.destroy();
      await closed;
    });
    return proxy;
  }

  /** Address of the target by way of the proxy. */
  get url(): string {
    const near = new URL(this.#target);
    near.hostname = '127.0.0.1';
    near.port = String(this.#port);
    return near.href;
  }

  /** Statements of every transaction that was committed and answered, oldest first. */
  get committed(): readonly (readonly string[])[] {
    return this.#committed;
  }

  /** Sets the one fault that happens next. Resolves with the statement when it has happened. */
  arm(fault: StatementFault): Promise<string> {
    return new Promise((fired) => {
      this.#fault = { ...fault, fired };
    });
  }

  #connect(client: Socket): void {
    const server = connect(Number(this.#target.port), this.#target.hostname);
    const pair = [client, server];
    /** Statements of the transaction that is open, as far as they were asked. */
    let transaction: string[] | null = null;
    for (const socket of pair) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined); // the other end sees it as its own loss
      socket.on('close', () => {
        this.#sockets.delete(socket);
        for (const one of pair) one.destroy();
      });
    }
    const isDue = (when: StatementFault['when']): boolean => {
      const fault = this.#fault;
      if (fault === null || transaction === null || fault.when !== when) return false;
      const here = typeof fault.at === 'number' ? transaction.length - 1 : transaction.at(-1);
      return here === fault.at && transaction.some((text) => text.includes(fault.within));
    };
    const fire = (): void => {
      const statement = transaction?.at(-1) ?? '';
      this.#fault?.fired(statement);
      this.#fault = null;
      server.end();
      client.resetAndDestroy();
    };

    const asked = new Messages(true);
    client.on('data', (chunk) => {
      for (const { type, bytes } of asked.take(chunk)) {
        if (client.destroyed) return;
        const text = statementOf(type, bytes);
        if (text !== null) {
          if (text === 'BEGIN') transaction = [];
          transaction?.push(text);
          if (isDue('before')) return fire();
        }
        if (type === 'd' && isDue('during')) {
          server.write(bytes.subarray(0, bytes.length >> 1));
          return fire();
        }
        server.write(bytes);
      }
    });
    const answers = new Messages(false);
    server.on('data', (chunk) => {
      for (const { type, bytes } of answers.take(chunk)) {
        if (client.destroyed) return;
        // ReadyForQuery: the statement is done.
        if (type === 'Z' && transaction !== null) {
          if (isDue('after')) return fire();
          const last = transaction.at(-1);
          if (last === 'COMMIT') this.#committed.push(transaction);
          if (last === 'COMMIT' || last === 'ROLLBACK') transaction = null;
        }
        client.write(bytes);
      }
    });
  }
}
