import { signal } from '@preact/signals';
import { span } from '../format.ts';
import { href, PAGES, page } from '../route.ts';
import { firing, now, status, trouble } from '../state.ts';
import { StateMark } from './icons.tsx';
import { PageLink } from './link.tsx';

type Theme = 'system' | 'light' | 'dark';
const NEXT: Readonly<Record<Theme, Theme>> = { system: 'dark', dark: 'light', light: 'system' };
const set = document.documentElement.dataset.theme;
const theme = signal<Theme>(set === 'light' || set === 'dark' ? set : 'system');

const NAMES = { overview: 'Overview', alerts: 'Alerts', 'dead-letters': 'Dead letters', lag: 'Lag' } as const;

function changeTheme(): void {
  const next = NEXT[theme.value];
  theme.value = next;
  if (next === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    if (next === 'system') localStorage.removeItem('weir-theme');
    else localStorage.setItem('weir-theme', next);
  } catch {
    // Storage is blocked: the theme lasts as long as the page.
  }
  document.dispatchEvent(new Event('weir-theme'));
}

export function Header() {
  const picture = status.value;
  const age = picture === null ? null : now.value - Date.parse(picture.at);
  const state = trouble.value !== null ? 'down' : (picture?.state ?? 'unknown');
  const wrong = picture?.stages.filter((stage) => stage.state !== 'ok').length ?? 0;
  const said =
    trouble.value !== null
      ? 'Gateway away'
      : picture === null
        ? 'Asking'
        : wrong === 0
          ? `All ${picture.stages.length} stages are well`
          : `${wrong} of ${picture.stages.length} stages need a look`;
  return (
    <header class="top">
      <a class="brand" href={href('overview')} aria-label="Weir, start page">
        <img src="/icon.svg" alt="" width="32" height="32" />
        <span>Weir</span>
      </a>
      <p class="overall">
        <StateMark state={state} words={false} />
        <span>{said}</span>
        {age !== null && age > 10_000 && <span class="muted"> · {span(age)} old</span>}
      </p>
      <nav aria-label="Pages" class="pages">
        {PAGES.map((one) => (
          <PageLink key={one} to={one} class="quiet" current={one === page.value}>
            {NAMES[one]}
            {one === 'alerts' && firing.value.length > 0 && (
              <span class="count">
                {firing.value.length}
                <span class="sr-only"> firing</span>
              </span>
            )}
          </PageLink>
        ))}
      </nav>
      <nav aria-label="More">
        <a class="quiet" href="/docs">
          API
        </a>
        <button
          type="button"
          class="quiet"
          onClick={changeTheme}
          aria-label={`Theme: ${theme.value}. Change`}
        >
          <svg viewBox="0 0 16 16" aria-hidden="true" class="theme-icon">
            <circle cx="8" cy="8" r="5.5" />
            <path d="M8 2.5a5.5 5.5 0 0 1 0 11z" class="half" />
          </svg>
          <span class="theme-word">{theme.value}</span>
        </button>
      </nav>
    </header>
  );
}
