import { signal } from '@preact/signals';

export const PAGES = ['overview', 'alerts', 'dead-letters', 'lag'] as const;
export type Page = (typeof PAGES)[number];

const pathOf = (page: Page): string => (page === 'overview' ? '/' : `/${page}`);
const pageAt = (path: string): Page => PAGES.find((page) => pathOf(page) === path) ?? 'overview';

/** The page that is shown; it stands in the address. */
export const page = signal<Page>(pageAt(location.pathname));
/** What is looked at on the page, apart from the overview's own; kept in the address. */
export const query = signal<URLSearchParams>(new URLSearchParams(location.search));

/** Follows the browser's own back and forward; `onMove` after each. */
export function followHistory(onMove: () => void): void {
  window.addEventListener('popstate', () => {
    page.value = pageAt(location.pathname);
    query.value = new URLSearchParams(location.search);
    onMove();
  });
}

export function href(to: Page, parameters: Readonly<Record<string, string>> = {}): string {
  const text = new URLSearchParams(parameters).toString();
  return `${pathOf(to)}${text === '' ? '' : `?${text}`}`;
}

export function go(to: Page, parameters: Readonly<Record<string, string>> = {}): void {
  window.history.pushState(null, '', href(to, parameters));
  page.value = to;
  query.value = new URLSearchParams(parameters);
  window.scrollTo(0, 0);
  document.getElementById('main')?.focus({ preventScroll: true });
}

/** Changes parameters of the address without a step in the history; an empty text removes one. */
export function amend(changes: Readonly<Record<string, string>>): void {
  const next = new URLSearchParams(query.value);
  for (const [name, value] of Object.entries(changes)) {
    if (value === '') next.delete(name);
    else next.set(name, value);
  }
  const text = next.toString();
  window.history.replaceState(null, '', `${location.pathname}${text === '' ? '' : `?${text}`}`);
  query.value = next;
}
