import { envelopePrefix, HASH_SEED, hashByte, isText, partitionOf, type TopicVerdict } from '@weir/reading';
import { READINGS_PARTITIONS } from '@weir/topology';
import type { Principal } from '../auth/rights.ts';
import type { ClassesOf, ClassRules } from '../classes.ts';
import type { LocalZone } from '../clock/local-zone.ts';
import { checkTopic } from '../gate/index.ts';

/** What is known about one topic of one connection; made once, because a device has few topics and uses them often. */
export interface TopicEntry {
  /** `passed`: no reading and no event, only handed to subscribers. */
  readonly kind: 'telemetry' | 'event' | 'passed' | 'refused';
  readonly topic: string;
  readonly site: string;
  readonly device: string;
  readonly metric: string | undefined;
  /** Of an event. */
  readonly event: string;
  /** Why the topic is refused. */
  readonly message: string;
  readonly partition: number;
  /** Start of the envelope line. */
  readonly prefix: string;
  readonly prefixBytes: Buffer;
  /** Of the site, for stamps without a zone. */
  readonly zone: LocalZone | undefined;
  readonly classes: ClassRules;
}

export interface TopicReaderOptions {
  /** `<edge id>/<spool id>` */
  readonly edge: string;
  readonly via: 'mqtt' | 'http';
  readonly read: (topic: string) => TopicVerdict;
  readonly zoneOf: (site: string) => LocalZone | undefined;
  readonly classesOf: ClassesOf;
}

/** Room for topics that connections remember beyond a few each: one that speaks for hundreds of devices has hundreds. */
export class TopicRoom {
  #left: number;
  /** @param topics of all connections together; about 1 KiB each */
  constructor(topics = 65_536) {
    this.#left = topics;
  }
  take(): boolean {
    if (this.#left === 0) return false;
    this.#left--;
    return true;
  }
  give(topics: number): void {
    this.#left += topics;
  }
}

/** Topic + principal → what to do with a publish. */
export function resolveTopic(
  topic: string,
  principal: Principal,
  { edge, via, read, zoneOf, classesOf }: TopicReaderOptions,
): TopicEntry {
  const verdict = read(topic);
  const foreign = {
    topic,
    site: principal.site ?? '-',
    device: principal.device,
    metric: undefined,
    event: '',
    partition: 0,
    prefix: '',
    prefixBytes: NO_BYTES,
    zone: undefined,
    classes: undefined,
  };
  if (!principal.mayPublish(topic, verdict)) {
    const message =
      verdict.kind === 'foreign' ? verdict.message : `the topic does not belong to ${principal.device}`;
    return { ...foreign, kind: 'refused', message };
  }
  if (verdict.kind === 'foreign') return { ...foreign, kind: 'passed', message: '' };
  const { site, device } = verdict;
  if (verdict.kind === 'event') {
    return { ...foreign, kind: 'event', site, device, event: verdict.event, message: '' };
  }
  const prefix = envelopePrefix({ edge, site, device, metric: verdict.metric, via });
  return {
    kind: 'telemetry',
    topic,
    site,
    device,
    metric: verdict.metric,
    event: '',
    message: '',
    partition: partitionOf(device, READINGS_PARTITIONS),
    prefix,
    prefixBytes: Buffer.from(prefix),
    zone: zoneOf(site),
    classes: classesOf(verdict),
  };
}

/** Of every connection; more only while there is room. */
const KEPT_TOPICS = 64;
const NO_BYTES = Buffer.alloc(0);

/** Its publish is in the spool, and durable. */
export const DURABLE = 'durable';
/** As `DURABLE`, but only the store says so, and a power loss may have taken its PUBREL from the store. */
export const RESTORED = 'restored';
/**
 * [MQTT-4.3.3-2] Packet ids of QoS 2 publishes that were received and not yet released by PUBREL; with a publish that
 * is not durable yet, the answers to those that repeat it.
 */
export type Unreleased = Map<number, typeof DURABLE | typeof RESTORED | ((error?: Error | null) => void)[]>;

export interface SessionOptions extends TopicReaderOptions {
  readonly room: TopicRoom;
}

/** One accepted MQTT connection. */
export class Session {
  readonly clientId: string;
  readonly principal: Principal;
  /** Site of the device; of one without credentials, that of its newest topic, null before it has published. */
  site: string | null;
  /** A later connection of the same session takes it over. */
  readonly unreleased: Unreleased;
  readonly #options: SessionOptions;
  readonly #topics = new Map<string, TopicEntry>();
  /** Those of readings, by the hash of their bytes. */
  readonly #places = new Map<number, TopicEntry>();
  #newest: TopicEntry | null = null;
  #taken = 0;
  /** Filters that were granted and that aedes is still storing: they count although it does not hold them yet. */
  readonly granting = new Set<string>();

  constructor(clientId: string, principal: Principal, unreleased: Unreleased, options: SessionOptions) {
    this.clientId = clientId;
    this.principal = principal;
    this.site = principal.site;
    this.unreleased = unreleased;
    this.#options = options;
  }

  /** Forgets the topics, and gives their room back. */
  end(): void {
    this.#options.room.give(this.#taken);
    this.#taken = 0;
    this.#topics.clear();
    this.#places.clear();
  }

  topic(topic: string): TopicEntry {
    let entry = this.#topics.get(topic);
    if (entry === undefined) {
      entry = resolveTopic(topic, this.principal, this.#options);
      if (this.principal.site === null && entry.kind === 'telemetry') this.site = entry.site;
      if (this.#topics.size >= KEPT_TOPICS) {
        if (this.#options.room.take()) this.#taken++;
        else this.end();
      }
      this.#topics.set(topic, entry);
    }
    return entry;
  }

  /** As `topic`, for the bytes from..to; undefined when no reading comes with it, or when it is not ASCII. */
  place(bytes: Buffer, from: number, to: number): TopicEntry | undefined {
    if (this.#newest !== null && isText(this.#newest.topic, bytes, from, to)) return this.#newest;
    let hash = HASH_SEED;
    for (let i = from; i < to; i++) hash = hashByte(hash, bytes[i] as number);
    let place = this.#places.get(hash);
    if (place === undefined || !isText(place.topic, bytes, from, to)) {
      if (checkTopic(bytes, from, to) !== 0) return undefined;
      place = this.topic(bytes.toString('utf8', from, to));
      if (place.kind !== 'telemetry' || !isText(place.topic, bytes, from, to)) return undefined;
      this.#places.set(hash, place);
    }
    this.#newest = place;
    return place;
  }
}
