import type { Alert, LiveMessage, LiveReading } from '@weir/api';
import type { WebSocket } from 'ws';
import type { Events } from '../events.ts';
import { DropHeadBuffer } from './buffer.ts';

export interface HubOptions {
  readonly events: Events;
  /** Readings that may wait for one client. */
  readonly liveBuffer: number;
  /** Clients at a time. */
  readonly liveClients: number;
  /** Time between two batches to a client, in milliseconds. */
  readonly flushMs?: number;
  /** A client that has not answered a ping for this long is cut off, in milliseconds. */
  readonly pingMs?: number;
}

export interface Filter {
  readonly site?: string | undefined;
  readonly device?: string | undefined;
}

interface Client {
  readonly socket: WebSocket;
  readonly filter: Filter;
  readonly readings: DropHeadBuffer<LiveReading>;
  readonly alerts: DropHeadBuffer<Alert>;
  alive: boolean;
}

/** Bytes that may wait in a socket before its client counts as slow and its readings wait in the buffer. */
const SOCKET_HIGH_WATER = 128 << 10;
const BATCH = 1_000;
const ALERTS = 100;

/**
 * Hands live readings and alerts to WebSocket clients. Memory is bounded per client: `liveBuffer` readings, 100
 * alerts, and one batch beyond 128 KiB in the socket; what does not fit pushes the oldest out and is counted to
 * the client as `dropped`.
 */
export class LiveHub {
  readonly #options: HubOptions;
  readonly #clients = new Set<Client>();
  #connected = false;
  #delivered = 0;
  #flush: NodeJS.Timeout | undefined;
  #ping: NodeJS.Timeout | undefined;

  constructor(options: HubOptions) {
    this.#options = options;
  }
  get size(): number {
    return this.#clients.size;
  }
  /** Readings sent to clients so far. */
  get delivered(): number {
    return this.#delivered;
  }
  get full(): boolean {
    return this.size >= this.#options.liveClients;
  }
  get connected(): boolean {
    return this.#connected;
  }
  /** Devices that the clients ask for; null when somebody wants more than single devices (or nobody watches). */
  get devices(): ReadonlySet<string> | null {
    const devices = new Set<string>();
    for (const { filter } of this.#clients) {
      if (filter.device === undefined) return null;
      devices.add(filter.device);
    }
    return devices;
  }
  wantsSite(site: string): boolean {
    for (const { filter } of this.#clients) {
      if (filter.site === undefined || filter.site === site) return true;
    }
    return false;
  }

  add(socket: WebSocket, filter: Filter): void {
    const client: Client = {
      socket,
      filter,
      readings: new DropHeadBuffer(this.#options.liveBuffer),
      alerts: new DropHeadBuffer(ALERTS),
      alive: true,
    };
    this.#clients.add(client);
    this.#options.events.liveClients(this.size);
    socket.on('pong', () => {
      client.alive = true;
    });
    // What a client sends is not looked at; the size limit of the server keeps it small.
    socket.on('close', () => this.#remove(client));
    socket.on('error', () => socket.terminate());
    send(socket, {
      type: 'hello',
      site: filter.site ?? null,
      device: filter.device ?? null,
      buffer: this.#options.liveBuffer,
    });
    send(socket, { type: 'feed', connected: this.#connected });
    this.#flush ??= setInterval(() => this.#flushAll(), this.#options.flushMs ?? 100);
    this.#ping ??= setInterval(() => this.#pingAll(), this.#options.pingMs ?? 15_000);
  }

  push(reading: LiveReading): void {
    for (const client of this.#clients) {
      const { site, device } = client.filter;
      if (device !== undefined && device !== reading.device) continue;
      if (site !== undefined && site !== reading.site) continue;
      client.readings.push(reading);
    }
  }

  pushAlert(alert: Alert): void {
    // Alerts go to every client: a page that shows one device still has to show that another one is on fire.
    for (const client of this.#clients) client.alerts.push(alert);
  }

  setConnected(connected: boolean): void {
    if (connected === this.#connected) return;
    this.#connected = connected;
    for (const { socket } of this.#clients) send(socket, { type: 'feed', connected });
  }

  /** Says goodbye (1001, going away) to every client. */
  close(): void {
    for (const { socket } of this.#clients) {
      socket.close(1001, 'the gateway is stopping');
      setTimeout(() => socket.terminate(), 500).unref();
    }
    this.#stopTimers();
  }

  #remove(client: Client): void {
    this.#clients.delete(client);
    this.#options.events.liveClients(this.size);
    if (this.size === 0) this.#stopTimers();
  }
  #stopTimers(): void {
    clearInterval(this.#flush);
    clearInterval(this.#ping);
    this.#flush = undefined;
    this.#ping = undefined;
  }
  #flushAll(): void {
    for (const { socket, readings, alerts } of this.#clients) {
      if (socket.readyState !== socket.OPEN || socket.bufferedAmount > SOCKET_HIGH_WATER) continue;
      for (const alert of alerts.take(ALERTS)) send(socket, { type: 'alert', alert });
      // At least one batch, then as many as the socket takes without queueing, so that a client can catch up.
      while (readings.size > 0 && socket.bufferedAmount <= SOCKET_HIGH_WATER) {
        const batch = readings.take(BATCH);
        const dropped = readings.takeDropped();
        if (dropped > 0) this.#options.events.liveDropped(dropped);
        this.#delivered += batch.length;
        this.#options.events.liveDelivered(batch.length);
        send(socket, { type: 'readings', readings: batch, dropped });
      }
    }
  }
  #pingAll(): void {
    for (const client of this.#clients) {
      if (!client.alive) {
        client.socket.terminate();
        continue;
      }
      client.alive = false;
      client.socket.ping();
    }
  }
}

function send(socket: WebSocket, message: LiveMessage): void {
  if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(message));
}
