import { hostname, userInfo } from 'node:os';

/** Who runs this command, for the audit trail: user@host. */
export function caller(): string {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    return hostname(); // a user without an entry in the system's list
  }
}
