import type { PortName } from '@weir/topology';
import type { AppContext } from './app.ts';

/** Where an app of this installation answers, as seen from this host: wildcard addresses are reached over loopback. */
export function localUrl({ config, port }: Pick<AppContext, 'config' | 'port'>, name: PortName): string {
  return `http://${hostOf(config.ports.host)}:${port(name)}`;
}

/**
 * Where the processes of an app answer, when they are named in `lagMonitor.apps`; null: no app is named, and one of
 * each is beside this process.
 */
export function namedUrls({ config }: Pick<AppContext, 'config'>, app: string): readonly string[] | null {
  const { apps } = config.lagMonitor;
  if (apps.length === 0) return null;
  return apps.flatMap((one) =>
    one.startsWith(`${app}=`) ? [one.slice(app.length + 1).replace(/\/$/, '')] : [],
  );
}

function hostOf(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}
