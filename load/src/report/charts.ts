/** One line of a chart. */
export interface Line {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface ChartOptions {
  readonly title: string;
  readonly unit: string;
  readonly xUnit: string;
  readonly lines: readonly Line[];
  /** Powers of ten on the y axis, for latencies. */
  readonly logarithmic?: boolean;
  /** Places on the x axis that are named, with their texts; without them a few whole numbers. */
  readonly xTicks?: readonly (readonly [x: number, text: string])[];
}

const WIDTH = 640;
const HEIGHT = 240;
const LEFT = 56;
const RIGHT = 12;
const TOP = 10;
const BOTTOM = 30;
/** More points than pixels are not seen. */
const POINTS = 600;
const TICKS = 4;

export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

export const short = (value: number): string => {
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`;
  return String(Number(value.toPrecision(3)));
};

/** Of each stretch the largest: a chart must not hide a peak. */
function thinned(points: Line['points']): Line['points'] {
  if (points.length <= POINTS) return points;
  const size = points.length / POINTS;
  return Array.from({ length: POINTS }, (_, i) => {
    const part = points.slice(Math.floor(i * size), Math.floor((i + 1) * size));
    return part.reduce((top, point) => (point[1] > top[1] ? point : top));
  });
}

/** 1, 2 or 5 times a power of ten, at least `value`. */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((factor) => factor * power >= value) ?? 10) * power;
}

/** A chart as inline SVG; colours come from the page's style, so that it follows light and dark. */
export function chart({ title, unit, xUnit, lines, logarithmic = false, xTicks }: ChartOptions): string {
  const known = lines
    .map(({ name, points }) => ({ name, points: thinned(points.filter(([, y]) => Number.isFinite(y))) }))
    .filter(({ points }) => points.length > 0);
  const all = known.flatMap(({ points }) => points);
  if (all.length === 0) return '';
  const xs = all.map(([x]) => x);
  const ys = all.map(([, y]) => y);
  const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  const low = logarithmic ? 10 ** Math.floor(Math.log10(Math.max(0.01, Math.min(...ys)))) : 0;
  const top = logarithmic
    ? 10 ** Math.ceil(Math.log10(Math.max(low * 10, ...ys)))
    : roundUp(Math.max(1e-3, ...ys));
  const x = (value: number) => LEFT + ((value - x0) / (x1 - x0 || 1)) * (WIDTH - LEFT - RIGHT);
  const share = (value: number) =>
    logarithmic ? Math.log(Math.max(low, value) / low) / Math.log(top / low) : value / top;
  const y = (value: number) => HEIGHT - BOTTOM - share(value) * (HEIGHT - TOP - BOTTOM);
  const yTicks = logarithmic
    ? Array.from({ length: Math.round(Math.log10(top / low)) + 1 }, (_, i) => low * 10 ** i)
    : Array.from({ length: TICKS + 1 }, (_, i) => (top * i) / TICKS);
  const places =
    xTicks ??
    Array.from({ length: TICKS + 1 }, (_, i) => {
      const at = x0 + ((x1 - x0) * i) / TICKS;
      return [at, String(Math.round(at))] as const;
    });
  const grid = yTicks
    .map(
      (value) =>
        `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}"/><text class="tick" x="${LEFT - 6}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${short(value)}</text>`,
    )
    .join('');
  const below = places
    .map(
      ([value, text]) =>
        `<text class="tick" x="${x(value).toFixed(1)}" y="${HEIGHT - 10}" text-anchor="middle">${escapeHtml(text)}</text>`,
    )
    .join('');
  const paths = known
    .map(({ points }, i) => {
      const path = points.map(([px, py]) => `${x(px).toFixed(1)},${y(py).toFixed(1)}`).join(' ');
      return `<polyline class="line c${i % 6}" points="${path}"/>`;
    })
    .join('');
  const legend = known
    .map(({ name }, i) => `<span class="key"><i class="k${i % 6}"></i>${escapeHtml(name)}</span>`)
    .join('');
  return `<figure><figcaption>${escapeHtml(title)} <small>${escapeHtml(unit)}, by ${escapeHtml(xUnit)}</small></figcaption><svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(title)}">${grid}${below}${paths}</svg><div class="legend">${legend}</div></figure>`;
}
