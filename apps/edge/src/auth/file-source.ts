import { readFile, stat } from 'node:fs/promises';
import { type DeviceCredential, parseCredential } from '@weir/reading';
import type { CredentialSource } from './credentials.ts';

/** Credentials as JSON lines; a later line of the same device wins. A bad line is skipped and reported. */
export function fileSource(path: string): CredentialSource {
  let seen = '';
  return {
    name: `file ${path}`,
    async read() {
      const { mtimeMs, size, ino } = await stat(path);
      const version = `${mtimeMs} ${size} ${ino}`;
      if (version === seen) return null;
      const found = new Map<string, DeviceCredential>();
      const problems: string[] = [];
      const lines = (await readFile(path, 'utf8')).split('\n');
      for (const [index, line] of lines.entries()) {
        if (line.trim() === '') continue;
        const credential = parseCredential(line);
        if (typeof credential === 'string') problems.push(`${path} line ${index + 1}: ${credential}`);
        else found.set(credential.device, credential);
      }
      seen = version;
      return { credentials: [...found.values()], problems };
    },
    close: async () => {},
  };
}
