import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';
import { isName, LIMITS } from './reading.ts';

/** What the edge knows about one device: a row of `device_credentials`, or a line of the credentials file. */
export interface DeviceCredential {
  /** Device id; the device's MQTT client id and user name are bound to it. */
  readonly device: string;
  readonly site: string;
  /** Of `hashSecret`. */
  readonly hash: string;
  /** Topic filters that the device may publish to besides its own telemetry and events. */
  readonly publish: readonly string[];
  /** Topic filters that the device may subscribe to besides its own commands. */
  readonly subscribe: readonly string[];
  /** RFC 3339. */
  readonly createdAt: string;
  /** RFC 3339; null while the credential is valid. */
  readonly revokedAt: string | null;
}

const SCHEME = 'scrypt';
const SALT_BYTES = 16;
const KEY_BYTES = 32;
const SECRET_BYTES = 24;
/** Bounds what a hash from outside may cost: 128 · N · r bytes of memory. */
const MAX_N = 1 << 17;
const MAX_R = 16;
const MAX_P = 4;

export interface ScryptCost {
  /** CPU and memory cost, a power of two up to 2^17. */
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

/** For secrets that people choose: 16 MiB and about 40 ms. */
export const CHOSEN_SECRET_COST: ScryptCost = { N: 1 << 14, r: 8, p: 1 };
/**
 * For secrets of `generateSecret`: 192 random bits cannot be guessed at any hash speed, and a fleet that
 * reconnects all at once must not cost the edge a minute of hashing.
 */
export const GENERATED_SECRET_COST: ScryptCost = { N: 1 << 10, r: 8, p: 1 };

/** A random device secret of 192 bits, URL-safe text of 32 characters. */
export function generateSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

function derive(secret: string, salt: Buffer, bytes: number, { N, r, p }: ScryptCost): Promise<Buffer> {
  const options: ScryptOptions = { N, r, p, maxmem: 256 * N * r + (1 << 20) };
  return new Promise((resolve, reject) => {
    scrypt(secret, salt, bytes, options, (error, key) => (error ? reject(error) : resolve(key)));
  });
}

/** `scrypt$N$r$p$salt$hash` with salt and hash in base64url. */
export async function hashSecret(secret: string, cost: ScryptCost = CHOSEN_SECRET_COST): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const key = await derive(secret, salt, KEY_BYTES, cost);
  return [SCHEME, cost.N, cost.r, cost.p, salt.toString('base64url'), key.toString('base64url')].join('$');
}

interface ParsedHash {
  readonly cost: ScryptCost;
  readonly salt: Buffer;
  readonly key: Buffer;
}

const BASE64URL = /^[A-Za-z0-9_-]+$/;
const isPowerOfTwo = (n: number): boolean => n > 1 && (n & (n - 1)) === 0;
const isWithin = (n: number, max: number): boolean => Number.isInteger(n) && n >= 1 && n <= max;

function parseHash(text: string): ParsedHash | undefined {
  const parts = text.split('$');
  if (parts.length !== 6 || parts[0] !== SCHEME) return undefined;
  const [N, r, p] = parts.slice(1, 4).map(Number) as [number, number, number];
  const [salt, key] = parts.slice(4) as [string, string];
  if (!isWithin(N, MAX_N) || !isPowerOfTwo(N) || !isWithin(r, MAX_R) || !isWithin(p, MAX_P)) return undefined;
  if (!BASE64URL.test(salt) || !BASE64URL.test(key)) return undefined;
  const parsed = {
    cost: { N, r, p },
    salt: Buffer.from(salt, 'base64url'),
    key: Buffer.from(key, 'base64url'),
  };
  return parsed.key.length >= 16 && parsed.key.length <= 64 ? parsed : undefined;
}

/** Whether `text` is a hash that `verifySecret` can work with. */
export function isSecretHash(text: string): boolean {
  return parseHash(text) !== undefined;
}

/** Compares in constant time. False for a malformed hash, so that a damaged row never lets anyone in. */
export async function verifySecret(secret: string, hash: string): Promise<boolean> {
  const parsed = parseHash(hash);
  if (parsed === undefined) return false;
  const key = await derive(secret, parsed.salt, parsed.key.length, parsed.cost);
  return timingSafeEqual(key, parsed.key);
}

const isText = (value: unknown): value is string => typeof value === 'string';
const textList = (value: unknown): readonly string[] | undefined =>
  value === undefined ? [] : Array.isArray(value) && value.every(isText) ? value : undefined;

/** Reads one line of a credentials file; a string says what is wrong with it. */
export function parseCredential(line: string): DeviceCredential | string {
  let found: Record<string, unknown>;
  try {
    found = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return 'it is not JSON';
  }
  if (typeof found !== 'object' || found === null) return 'it is not a JSON object';
  const { device, site, hash, createdAt, revokedAt = null } = found;
  const publish = textList(found.publish);
  const subscribe = textList(found.subscribe);
  if (!isText(device) || !isName(device, LIMITS.deviceBytes))
    return '"device" is missing or not a device name';
  if (!isText(site) || !isName(site, LIMITS.siteBytes)) return '"site" is missing or not a site name';
  if (!isText(hash) || !isSecretHash(hash)) return '"hash" is missing or not a scrypt hash';
  if (publish === undefined || subscribe === undefined)
    return '"publish" and "subscribe" are lists of topics';
  if (revokedAt !== null && !isText(revokedAt)) return '"revokedAt" is not a time';
  return {
    device,
    site,
    hash,
    publish,
    subscribe,
    createdAt: isText(createdAt) ? createdAt : new Date(0).toISOString(),
    revokedAt,
  };
}

/** One line of a credentials file, without the line end. */
export function formatCredential(credential: DeviceCredential): string {
  return JSON.stringify(credential);
}
