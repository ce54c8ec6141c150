/** Bodies of the records that are not readings. A reading's body is its envelope line. */

const NEWLINE = 10;

/** A dead letter on its way: original bytes last, untouched. */
export interface DeadLetterRecord {
  /** The device, when it is known. */
  readonly key: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly raw: Buffer;
}

export function deadLetterBody(
  key: string | null,
  headers: Readonly<Record<string, string>>,
  raw: Buffer,
): Buffer {
  // JSON text holds no line break of its own, so the first one ends the head.
  return Buffer.concat([Buffer.from(`${JSON.stringify({ key, headers })}\n`), raw]);
}

export function parseDeadLetterBody(body: Buffer): DeadLetterRecord {
  const end = body.indexOf(NEWLINE);
  const head = JSON.parse(body.toString('utf8', 0, end)) as Pick<DeadLetterRecord, 'key' | 'headers'>;
  return { key: head.key, headers: head.headers, raw: body.subarray(end + 1) };
}

/** An event for RabbitMQ; `key` from `eventKey`. */
export interface EventRecord {
  readonly key: string;
  readonly body: Readonly<Record<string, unknown>>;
}

export function eventBody(event: EventRecord): Buffer {
  return Buffer.from(JSON.stringify({ key: event.key, body: event.body }));
}

export function parseEventBody(body: Buffer): EventRecord {
  return JSON.parse(body.toString('utf8')) as EventRecord;
}
