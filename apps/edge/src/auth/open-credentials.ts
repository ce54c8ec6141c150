import type { Config } from '@weir/config';
import { WeirError } from '@weir/flow';
import type { EdgeEvents } from '../events.ts';
import { Credentials } from './credentials.ts';
import { databaseSource } from './database-source.ts';
import { fileSource } from './file-source.ts';

const LOOPBACK = /^(127(\.\d{1,3}){3}|::1|localhost)$/;

/** The device credentials; null in anonymous mode. Throws when anonymous mode would be open to a network. */
export async function openCredentials(config: Config, events: EdgeEvents): Promise<Credentials | null> {
  const { edge, ports } = config;
  if (edge.anonymous) {
    if (LOOPBACK.test(ports.host)) return null;
    throw new WeirError(
      'WEIR_CONFIG_INVALID',
      'fatal',
      `edge.anonymous lets any device publish, so it works on a loopback address only, and ports.host is "${ports.host}". Set edge.anonymous=false and add devices with "weir device add", or set ports.host=127.0.0.1.`,
    );
  }
  const source =
    edge.credentialsFile !== '' ? fileSource(edge.credentialsFile) : databaseSource(config.timescale);
  const credentials = new Credentials(source, events);
  await credentials.start(edge.credentialsRefresh);
  return credentials;
}
