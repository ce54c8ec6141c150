import type { TopicTemplates } from '@weir/reading';
import type { Client } from 'aedes';
import { matches } from '../auth/filters.ts';

const deviceKey = (site: string, device: string): string => `${site}\0${device}`;

/**
 * Which device's commands a filter asks for; undefined when it is no filter of commands, or asks for those of many
 * devices: somebody who listens in is not the device.
 */
export function commandTarget(
  templates: Pick<TopicTemplates, 'commands'>,
  filter: string,
): { readonly site: string; readonly device: string } | undefined {
  const levels = filter.split('/');
  const found: { site?: string; device?: string } = {};
  for (const [index, part] of templates.commands.split('/').entries()) {
    const level = levels[index];
    if (level === undefined) return undefined;
    if (part === '{site}' || part === '{device}') {
      if (level === '+' || level === '#') return undefined;
      found[part === '{site}' ? 'site' : 'device'] = level;
    } else if (level === '#') break;
    else if (part !== '{name}' && level !== part) return undefined;
  }
  const { site, device } = found;
  return site === undefined || device === undefined ? undefined : { site, device };
}

/** The connections that listen for the commands of a device. */
export class CommandSubscribers {
  readonly #templates: Pick<TopicTemplates, 'commands'>;
  /** Filters of each connection, the newest connection last. */
  readonly #byDevice = new Map<string, Map<Client, Set<string>>>();
  readonly #devicesOf = new Map<Client, Set<string>>();
  /** A connection began to listen for the commands of this device. */
  onListening: (site: string, device: string) => void = () => {};

  constructor(templates: Pick<TopicTemplates, 'commands'>) {
    this.#templates = templates;
  }

  add(client: Client, filters: readonly string[]): void {
    for (const filter of filters) {
      const target = commandTarget(this.#templates, filter);
      if (target === undefined) continue;
      const key = deviceKey(target.site, target.device);
      let clients = this.#byDevice.get(key);
      if (clients === undefined) {
        clients = new Map();
        this.#byDevice.set(key, clients);
      }
      let held = clients.get(client);
      if (held === undefined) {
        held = new Set();
        clients.set(client, held);
      }
      held.add(filter);
      let devices = this.#devicesOf.get(client);
      if (devices === undefined) {
        devices = new Set();
        this.#devicesOf.set(client, devices);
      }
      devices.add(key);
      this.onListening(target.site, target.device);
    }
  }

  remove(client: Client, filters: readonly string[]): void {
    for (const filter of filters) {
      const target = commandTarget(this.#templates, filter);
      if (target === undefined) continue;
      const key = deviceKey(target.site, target.device);
      const held = this.#byDevice.get(key)?.get(client);
      held?.delete(filter);
      if (held?.size === 0) this.#drop(client, key);
    }
  }

  /** The connection has ended. */
  forget(client: Client): void {
    for (const key of [...(this.#devicesOf.get(client) ?? [])]) this.#drop(client, key);
  }

  /** The newest connection of the device that wants this topic. */
  find(site: string, device: string, topic: string): Client | undefined {
    const clients = [...(this.#byDevice.get(deviceKey(site, device)) ?? [])].reverse();
    return clients.find(([, filters]) => [...filters].some((filter) => matches(filter, topic)))?.[0];
  }

  #drop(client: Client, key: string): void {
    const clients = this.#byDevice.get(key);
    clients?.delete(client);
    if (clients?.size === 0) this.#byDevice.delete(key);
    const devices = this.#devicesOf.get(client);
    devices?.delete(key);
    if (devices?.size === 0) this.#devicesOf.delete(client);
  }
}
