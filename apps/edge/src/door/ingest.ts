import type { IncomingMessage } from 'node:http';
import { type TopicTemplates, topicReader } from '@weir/reading';
import type { Credentials } from '../auth/credentials.ts';
import { anonymousPrincipal, devicePrincipal, type Principal } from '../auth/rights.ts';
import type { ClassesOf } from '../classes.ts';
import type { LocalZone } from '../clock/index.ts';
import type { EdgeEvents } from '../events.ts';
import {
  deadLetterPart,
  type Intake,
  type Origin,
  type Part,
  readingPart,
  type Settled,
} from '../intake/intake.ts';
import type { DecodePayload, RefusedBytes } from '../steps/decode-payload.ts';
import { Problem } from './problem.ts';
import { resolveTopic, type TopicEntry } from './session.ts';

export interface IngestOptions {
  readonly intake: Intake;
  readonly events: EdgeEvents;
  readonly decode: DecodePayload;
  /** null: anonymous mode. */
  readonly credentials: Credentials | null;
  readonly templates: TopicTemplates;
  readonly zoneOf: (site: string) => LocalZone | undefined;
  readonly classesOf: ClassesOf;
  readonly maxBody: number;
}

export interface IngestAnswer {
  /** Readings that are durable. */
  readonly accepted: number;
  /** Payloads and elements that were buried. */
  readonly refused: number;
  /** The first few of them. */
  readonly problems: readonly { readonly reason: string; readonly message: string; readonly line?: number }[];
}

const PATH = /^\/ingest\/v1\/([^/]+)\/([^/]+)(?:\/([^/]+))?$/;
const SHOWN_PROBLEMS = 10;
/** Each line may become a dead letter that is much larger than itself. */
const MAX_LINES = 10_000;
const NEWLINE = 10;

/** `POST /ingest/v1/{site}/{device}[/{metric}]`: resolves when everything is durable; throws `Problem`. */
export function ingestHandler(options: IngestOptions): (request: IncomingMessage) => Promise<IngestAnswer> {
  const { intake, events, decode, credentials, templates, zoneOf, classesOf, maxBody } = options;
  const read = topicReader(templates);

  async function identify(request: IncomingMessage, device: string): Promise<Principal> {
    if (credentials === null) return anonymousPrincipal(device, templates);
    const challenge = { 'www-authenticate': 'Basic realm="weir", charset="UTF-8"' };
    const [scheme, value = ''] = (request.headers.authorization ?? '').split(' ');
    const text = Buffer.from(value, 'base64').toString('utf8');
    const colon = text.indexOf(':');
    if (scheme?.toLowerCase() !== 'basic' || colon < 1) {
      events.loginRefused('missing', device);
      throw new Problem(
        'unauthorized',
        'Send the device id and its secret as HTTP Basic credentials.',
        challenge,
      );
    }
    const user = text.slice(0, colon);
    const login = await credentials.login(user, Buffer.from(text.slice(colon + 1)));
    if (login.ok) return devicePrincipal(login.credential, templates);
    events.loginRefused(login.reason, user);
    if (login.reason === 'unavailable') {
      throw new Problem('unavailable', 'Device credentials cannot be read at the moment.', {
        'retry-after': '5',
      });
    }
    throw new Problem('unauthorized', 'The device id or its secret is wrong.', challenge);
  }

  function target(path: string): { topic: string; device: string } {
    const match = PATH.exec(path);
    if (match === null) throw new Problem('not-found', 'Post to /ingest/v1/{site}/{device}[/{metric}].');
    try {
      const [site, device, metric] = match
        .slice(1)
        .map((part) => (part ? decodeURIComponent(part) : undefined));
      const base = templates.telemetry
        .split('/')
        .map((level) => (level === '{site}' ? site : level === '{device}' ? device : level));
      return { topic: [...base, ...(metric === undefined ? [] : [metric])].join('/'), device: device ?? '' };
    } catch {
      throw new Problem('not-found', 'The path is not valid percent-encoded UTF-8.');
    }
  }

  async function body(request: IncomingMessage): Promise<Buffer> {
    const tooLarge = () =>
      new Problem('body-too-large', `The body may have ${maxBody} bytes.`, { connection: 'close' });
    if (Number(request.headers['content-length'] ?? 0) > maxBody) throw tooLarge();
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxBody) throw tooLarge();
      chunks.push(chunk);
    }
    return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
  }

  function mediaType(request: IncomingMessage): 'json' | 'ndjson' {
    const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase();
    if (type === 'application/json' || type === 'application/cloudevents+json') return 'json';
    if (type === 'application/x-ndjson') return 'ndjson';
    throw new Problem('unsupported-media-type', 'Send application/json or application/x-ndjson.');
  }

  return async function ingest(request) {
    if (request.method !== 'POST') {
      throw new Problem('method-not-allowed', 'Readings are posted.', { allow: 'POST' });
    }
    const path = request.url?.split('?')[0] ?? '';
    const { topic, device } = target(path);
    if (intake.isBlocked) throw busy();
    const principal = await identify(request, device);
    const entry = resolveTopic(topic, principal, {
      edge: intake.edge,
      via: 'http',
      read,
      zoneOf,
      classesOf,
    });
    if (entry.kind !== 'telemetry') {
      if (read(topic).kind === 'foreign') throw new Problem('not-found', entry.message);
      throw new Problem('forbidden', entry.message);
    }
    const type = mediaType(request);
    const payload = await body(request);
    if (intake.isBlocked) throw busy();
    const at = intake.clock.now();
    return store(entry, type === 'json' ? [payload] : lines(payload), {
      system: 'http',
      name: path,
      device: entry.device, // a level of the path may hold an escaped "/"
      at,
    });
  };

  function store(entry: TopicEntry, payloads: readonly Buffer[], origin: Origin): Promise<IngestAnswer> {
    const { at } = origin;
    const parts: Part[] = [];
    const refusals: (RefusedBytes & { readonly line: number })[] = [];
    let accepted = 0;
    for (const [index, payload] of payloads.entries()) {
      const { count, critical, refused, utcOffset } = decode(payload, entry.metric, at, entry);
      accepted += count;
      if (count > 0) {
        const skip = refused.length === 0 ? undefined : refused.map((each) => each.index as number);
        const head = { at, critical, skip, utcOffset };
        parts.push(readingPart(entry.prefix, entry.partition, head, payload, count));
      }
      for (const each of refused) {
        parts.push(deadLetterPart(each, origin));
        refusals.push({ ...each, line: index + 1 });
      }
    }
    const answer: IngestAnswer = {
      accepted,
      refused: refusals.length,
      problems: refusals.slice(0, SHOWN_PROBLEMS).map(({ reason, message, line }) => ({
        reason,
        message,
        ...(payloads.length > 1 ? { line } : {}),
      })),
    };
    if (parts.length === 0) return Promise.resolve(answer);
    return new Promise((resolve, reject) => {
      const settled: Settled = (error, dropped) => {
        if (error !== null) {
          reject(new Problem('unavailable', 'The readings could not be stored; send them again.'));
          return;
        }
        resolve({ ...answer, accepted: intake.countKept(parts, dropped, at) });
      };
      if (!intake.offer(parts, settled)) reject(busy());
    });
  }
}

export const busy = (): Problem =>
  new Problem('busy', 'The edge stores as much as it may at the moment.', { 'retry-after': '1' });

function lines(body: Buffer): Buffer[] {
  const found: Buffer[] = [];
  let from = 0;
  while (from < body.length) {
    const newline = body.indexOf(NEWLINE, from);
    let to = newline < 0 ? body.length : newline;
    const next = to + 1;
    if (to > from && body[to - 1] === 13) to--;
    if (to > from) found.push(body.subarray(from, to));
    if (found.length > MAX_LINES) {
      throw new Problem('body-too-large', `The body may have ${MAX_LINES} lines.`);
    }
    from = next;
  }
  return found;
}
