import type { ComponentChildren } from 'preact';
import { go, href, type Page } from '../route.ts';

/** A link to another page of this one; with a key held or another button it is a link like any other. */
export function PageLink({
  to,
  parameters = {},
  class: name,
  current = false,
  children,
}: {
  to: Page;
  parameters?: Readonly<Record<string, string>>;
  class?: string;
  current?: boolean;
  children: ComponentChildren;
}) {
  const follow = (event: MouseEvent): void => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(to, parameters);
  };
  return (
    <a href={href(to, parameters)} class={name} aria-current={current ? 'page' : undefined} onClick={follow}>
      {children}
    </a>
  );
}
