import type { Alert, LiveMessage, LiveReading } from '@weir/api';

export type LiveState = 'connecting' | 'open' | 'no-feed' | 'away';

export interface LiveHandlers {
  readings(readings: readonly LiveReading[], dropped: number): void;
  alert(alert: Alert): void;
  state(state: LiveState): void;
}

/** Watches one device until the returned function is called; reconnects by itself with full jitter, up to 10 s. */
export function watch(site: string, device: string, handlers: LiveHandlers): () => void {
  let socket: WebSocket | undefined;
  let timer: number | undefined;
  let attempt = 0;
  let ended = false;

  const connect = (): void => {
    const url = new URL('/api/v1/live', location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    url.search = new URLSearchParams({ site, device }).toString();
    handlers.state('connecting');
    socket = new WebSocket(url);
    socket.onmessage = ({ data }: MessageEvent<string>) => {
      const message = JSON.parse(data) as LiveMessage;
      if (message.type === 'readings') handlers.readings(message.readings, message.dropped);
      else if (message.type === 'alert') handlers.alert(message.alert);
      else if (message.type === 'feed') handlers.state(message.connected ? 'open' : 'no-feed');
      else attempt = 0;
    };
    socket.onclose = () => {
      if (ended) return;
      handlers.state('away');
      timer = window.setTimeout(connect, Math.random() * Math.min(10_000, 500 * 2 ** attempt++));
    };
  };
  connect();
  return () => {
    ended = true;
    window.clearTimeout(timer);
    socket?.close();
  };
}
