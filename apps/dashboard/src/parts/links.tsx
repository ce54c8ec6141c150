import { signal } from '@preact/signals';
import type { Stage, StageId } from '@weir/api';
import { useLayoutEffect, useRef } from 'preact/hooks';

/** From which stage a reading goes to which. */
export const LINKS: readonly (readonly [StageId, StageId])[] = [
  ['devices', 'edge'],
  ['edge', 'spool'],
  ['spool', 'kafka'],
  ['spool', 'rabbitmq'],
  ['kafka', 'aggregator'],
  ['aggregator', 'timescale'],
  ['kafka', 'archiver'],
  ['archiver', 'minio'],
  ['rabbitmq', 'alerter'],
  ['rabbitmq', 'live'],
];

interface Drawing {
  readonly width: number;
  readonly height: number;
  readonly paths: readonly { readonly from: StageId; readonly to: StageId; readonly d: string }[];
}
const drawing = signal<Drawing>({ width: 0, height: 0, paths: [] });

/**
 * The lines between the stages, drawn where the layout has put the cards: a card to the right is met at its side, a
 * card below (phone) along the left edge.
 */
export function Links({ stages }: { stages: ReadonlyMap<StageId, Stage> }) {
  const svg = useRef<SVGSVGElement>(null);
  useLayoutEffect(() => {
    const box = svg.current?.parentElement;
    if (box === null || box === undefined) return;
    const observer = new ResizeObserver(() => {
      drawing.value = measure(box);
    });
    observer.observe(box);
    return () => observer.disconnect();
  }, []);
  const { width, height, paths } = drawing.value;
  return (
    <svg ref={svg} class="links" width={width} height={height} aria-hidden="true">
      {paths.map(({ from, to, d }) => {
        const down = [from, to].some((id) => stages.get(id)?.state === 'down');
        return (
          <g
            key={`${from}-${to}`}
            class={down ? 'link is-cut' : `link ${pace(stages.get(to)?.rate ?? null)}`}
          >
            <path class="bed" d={d} />
            <path class="water" d={d} />
          </g>
        );
      })}
    </svg>
  );
}

function pace(rate: number | null): string {
  if (rate === null || rate <= 0) return 'is-still';
  return rate < 50 ? 'is-slow' : rate < 2_000 ? 'is-steady' : 'is-fast';
}

function measure(box: Element): Drawing {
  const origin = box.getBoundingClientRect();
  const place = (id: StageId) => {
    const rect = box.querySelector(`[data-stage="${id}"] .card`)?.getBoundingClientRect();
    if (rect === undefined) return null;
    return {
      left: rect.left - origin.left,
      right: rect.right - origin.left,
      bottom: rect.bottom - origin.top,
      middle: (rect.top + rect.bottom) / 2 - origin.top,
    };
  };
  const paths = LINKS.flatMap(([from, to]) => {
    const a = place(from);
    const b = place(to);
    if (a === null || b === null) return [];
    const toTheRight = b.left > a.right;
    const bend = (b.left - a.right) / 2;
    const d = toTheRight
      ? `M${a.right} ${a.middle}C${a.right + bend} ${a.middle} ${b.left - bend} ${b.middle} ${b.left} ${b.middle}`
      : b.left > a.left + 4
        ? `M${a.left + 10} ${a.bottom}V${b.middle - 8}q0 8 8 8H${b.left}`
        : `M${a.left + 10} ${a.bottom}V${b.middle}`;
    return [{ from, to, d }];
  });
  return { width: origin.width, height: origin.height, paths };
}
