import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { type DeviceCredential, verifySecret } from '@weir/reading';
import type { EdgeEvents, LoginRefusal } from '../events.ts';

/** Where credentials are kept: a file or a table. */
export interface CredentialSource {
  readonly name: string;
  /** All credentials, or null when nothing changed since the last call. Throws when the source is away. */
  read(): Promise<{ credentials: readonly DeviceCredential[]; problems: readonly string[] } | null>;
  close(): Promise<void>;
}

export type Login =
  | { readonly ok: true; readonly credential: DeviceCredential }
  | { readonly ok: false; readonly reason: LoginRefusal };

/** scrypt runs on the same few threads as fsync: a storm of logins must not hold acknowledgements up. */
const CONCURRENT_HASHES = 2;
const QUEUED_HASHES = 20_000;

interface Verified {
  readonly hash: string;
  readonly digest: Buffer;
  readonly ok: boolean;
}

/**
 * The credentials as last read, refreshed in the background. Keeps, for each device, a keyed digest of the secret
 * that was last verified, so that a fleet that reconnects is not hashed again. When the source is away the last
 * known credentials go on working.
 */
export class Credentials {
  readonly #source: CredentialSource;
  readonly #events: EdgeEvents;
  readonly #key = randomBytes(32);
  readonly #verified = new Map<string, Verified>();
  #known = new Map<string, DeviceCredential>();
  #isRead = false;
  #running = 0;
  readonly #queue: (() => void)[] = [];
  #timer: NodeJS.Timeout | null = null;
  #reading: Promise<void> | null = null;
  /** Devices whose credential was revoked or replaced. */
  onChanged: (devices: readonly string[]) => void = () => {};

  constructor(source: CredentialSource, events: EdgeEvents) {
    this.#source = source;
    this.#events = events;
  }

  /** Reads once and then every `refreshMs`. Does not wait for a source that is away. */
  async start(refreshMs: number): Promise<void> {
    await this.refresh();
    this.#timer = setInterval(() => {
      this.#reading ??= this.refresh().finally(() => {
        this.#reading = null;
      });
    }, refreshMs);
    this.#timer.unref();
  }

  get ready(): true | string {
    return this.#isRead || `device credentials could not be read yet (${this.#source.name})`;
  }
  get size(): number {
    return this.#known.size;
  }

  /** Never rejects. */
  async refresh(): Promise<void> {
    try {
      const found = await this.#source.read();
      if (found === null) return;
      const known = new Map(found.credentials.map((credential) => [credential.device, credential]));
      const changed = [...this.#known.values()].filter((before) => {
        const now = known.get(before.device);
        return before.revokedAt === null && !(now !== undefined && sameGrants(before, now));
      });
      this.#known = known;
      this.#isRead = true;
      this.#events.credentialsRead(known.size, found.problems);
      for (const { device } of changed) this.#verified.delete(device);
      if (changed.length > 0) this.onChanged(changed.map((credential) => credential.device));
    } catch (error) {
      this.#events.credentialsUnavailable(error, this.#known.size);
    }
  }

  /** The valid credential of a device, without a look at its secret (for the will of a client that is gone). */
  find(device: string): DeviceCredential | undefined {
    const credential = this.#known.get(device);
    return credential?.revokedAt === null ? credential : undefined;
  }

  /** Never rejects. */
  async login(device: string, secret: Buffer): Promise<Login> {
    const credential = this.#known.get(device);
    if (credential === undefined) return { ok: false, reason: this.#isRead ? 'unknown' : 'unavailable' };
    if (credential.revokedAt !== null) return { ok: false, reason: 'revoked' };
    const digest = createHmac('sha256', this.#key).update(secret).digest();
    const before = this.#verified.get(device);
    if (before?.hash === credential.hash && timingSafeEqual(before.digest, digest)) {
      return before.ok ? { ok: true, credential } : { ok: false, reason: 'wrong-secret' };
    }
    try {
      if (!(await this.#turn())) return { ok: false, reason: 'unavailable' };
      const ok = await verifySecret(secret.toString('utf8'), credential.hash).finally(() => this.#next());
      // one wrong guess must not push the right secret out
      if (ok || before?.ok !== true) this.#verified.set(device, { hash: credential.hash, digest, ok });
      return ok ? { ok, credential } : { ok, reason: 'wrong-secret' };
    } catch (error) {
      this.#events.failed('verifying a device secret', error);
      return { ok: false, reason: 'unavailable' };
    }
  }

  async #turn(): Promise<boolean> {
    if (this.#running < CONCURRENT_HASHES) {
      this.#running++;
      return true;
    }
    if (this.#queue.length >= QUEUED_HASHES) return false;
    await new Promise<void>((resolve) => this.#queue.push(resolve));
    return true;
  }
  #next(): void {
    const waiting = this.#queue.shift();
    if (waiting === undefined) this.#running--;
    else waiting();
  }

  async close(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#reading;
    await this.#source.close();
  }
}

function sameGrants(a: DeviceCredential, b: DeviceCredential): boolean {
  return (
    a.hash === b.hash &&
    a.site === b.site &&
    a.revokedAt === b.revokedAt &&
    a.publish.join('\n') === b.publish.join('\n') &&
    a.subscribe.join('\n') === b.subscribe.join('\n')
  );
}
