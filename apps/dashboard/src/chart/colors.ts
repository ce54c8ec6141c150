/** The page's colours as a canvas needs them: computed, because custom properties hold `light-dark()`. */
export function colors() {
  const probe = document.createElement('span');
  document.body.append(probe);
  const read = (name: string): string => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const found = {
    ink: read('ink'),
    muted: read('muted'),
    line: read('line'),
    accent: read('accent'),
    band: read('band'),
    p50: read('p50'),
    p90: read('p90'),
    p99: read('p99'),
    bad: read('bad'),
  };
  probe.remove();
  return found;
}
export type Colors = ReturnType<typeof colors>;

/** Calls `changed` when the theme of the page or of the system changes. */
export function onTheme(changed: () => void): () => void {
  const media = matchMedia('(prefers-color-scheme: dark)');
  document.addEventListener('weir-theme', changed);
  media.addEventListener('change', changed);
  return () => {
    document.removeEventListener('weir-theme', changed);
    media.removeEventListener('change', changed);
  };
}
