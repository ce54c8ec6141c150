import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type DeviceCredentials, openDeviceCredentials } from '@weir/connect-timescale';
import { WeirError } from '@weir/flow';
import { type DeviceCredential, formatCredential, parseCredential } from '@weir/reading';

function readAll(file: string): DeviceCredential[] {
  if (!existsSync(file)) return [];
  const found: DeviceCredential[] = [];
  for (const [i, line] of readFileSync(file, 'utf8').split('\n').entries()) {
    if (line.trim() === '') continue;
    const credential = parseCredential(line);
    if (typeof credential === 'string') {
      throw new WeirError(
        'WEIR_STATE',
        'fatal',
        `Reading ${file}: line ${i + 1} is no credential: ${credential}.`,
      );
    }
    found.push(credential);
  }
  return found;
}

/** Credentials in a file (JSON lines, mode 0600), replaced as a whole so that the edge never reads half of one. */
export function fileStore(file: string): DeviceCredentials {
  const write = (credentials: readonly DeviceCredential[]): void => {
    mkdirSync(dirname(file), { recursive: true });
    const unfinished = `${file}.${process.pid}`;
    writeFileSync(unfinished, credentials.map((one) => `${formatCredential(one)}\n`).join(''), {
      mode: 0o600,
    });
    renameSync(unfinished, file);
  };
  return {
    list: async () => readAll(file).sort((a, b) => a.device.localeCompare(b.device)),
    async put(credential) {
      write([...readAll(file).filter(({ device }) => device !== credential.device), credential]);
    },
    async revoke(device) {
      const all = readAll(file);
      const valid = all.some((one) => one.device === device && one.revokedAt === null);
      const revokedAt = new Date().toISOString();
      if (valid) write(all.map((one) => (one.device === device ? { ...one, revokedAt } : one)));
      return valid;
    },
    close: async () => {},
  };
}

/** Where credentials are: the file that is named (option or edge.credentialsFile), else the database. */
export function openCredentials(file: string | undefined, databaseUrl: string): Promise<DeviceCredentials> {
  return file === undefined || file === ''
    ? openDeviceCredentials(databaseUrl)
    : Promise.resolve(fileStore(file));
}
