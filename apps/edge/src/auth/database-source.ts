import { type DeviceCredentials, openDeviceCredentials } from '@weir/connect-timescale';
import type { CredentialSource } from './credentials.ts';

/** Credentials of the table `device_credentials`; a lost connection is opened again at the next refresh. */
export function databaseSource({ url }: { readonly url: string }): CredentialSource {
  let table: DeviceCredentials | null = null;
  const close = async (): Promise<void> => {
    const open = table;
    table = null;
    await open?.close().catch(() => {});
  };
  return {
    name: 'database table device_credentials',
    async read() {
      try {
        table ??= await openDeviceCredentials(url);
        return { credentials: await table.list(), problems: [] };
      } catch (error) {
        await close();
        throw error;
      }
    },
    close,
  };
}
