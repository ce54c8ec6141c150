import { signal } from '@preact/signals';

const KEY = 'weir-actor';

function stored(): string {
  try {
    return localStorage.getItem(KEY) ?? '';
  } catch {
    return ''; // storage is blocked: the name lasts as long as the page
  }
}

/** Who looks at the page, for the audit trail. */
export const actor = signal(stored());

export function rememberActor(name: string): void {
  actor.value = name;
  try {
    localStorage.setItem(KEY, name);
  } catch {
    // as above
  }
}
