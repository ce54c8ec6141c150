import type { Status } from '@weir/api';
import { bytes, count, rate } from '../format.ts';
import { history, status } from '../state.ts';

type FigureName = keyof Status['figures'];
interface Entry {
  readonly label: string;
  readonly name: FigureName;
  readonly print: (value: number | null) => string;
  readonly unit: string;
  readonly note: (figures: Status['figures']) => string;
}

const ENTRIES: readonly Entry[] = [
  {
    label: 'Readings in',
    name: 'readingsPerSecond',
    print: rate,
    unit: '/s',
    note: ({ connections }) => (connections === null ? '' : `${count(connections)} devices connected`),
  },
  {
    label: 'Acknowledged',
    name: 'acknowledgedPerSecond',
    print: rate,
    unit: '/s',
    note: ({ acknowledged }) => (acknowledged === null ? '' : `${count(acknowledged)} in total`),
  },
  {
    label: 'Windows written',
    name: 'windowsPerSecond',
    print: rate,
    unit: '/s',
    note: ({ windowsWritten }) => (windowsWritten === null ? '' : `${count(windowsWritten)} in total`),
  },
  {
    label: 'Objects archived',
    name: 'objectsArchived',
    print: count,
    unit: '',
    note: ({ bytesArchived }) => (bytesArchived === null ? '' : `${bytes(bytesArchived)} compressed`),
  },
  {
    label: 'Lag',
    name: 'lag',
    print: count,
    unit: 'records',
    note: ({ archiveLag }) => (archiveLag === null ? '' : `archiver ${count(archiveLag)}`),
  },
  {
    label: 'Dead letters',
    name: 'deadLetters',
    print: count,
    unit: '',
    note: ({ deadLetters }) =>
      deadLetters === null ? '' : deadLetters === 0 ? 'nothing was refused' : 'kept with their reason',
  },
];

export function Ledger() {
  const figures = status.value?.figures;
  return (
    <section aria-labelledby="ledger-title">
      <h1 id="ledger-title" class="sr-only">
        Weir, the figures now
      </h1>
      <dl class="ledger">
        {ENTRIES.map(({ label, name, print, unit, note }) => (
          <div key={name} data-figure={name}>
            <dt>{label}</dt>
            <dd>
              <span class="big">{print(figures?.[name] ?? null)}</span>
              {unit !== '' && <span class="unit">{unit}</span>}
              <Spark name={name} />
              <span class="small">{figures === undefined ? '' : note(figures)}</span>
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

const WIDTH = 120;
const HEIGHT = 26;

/** The last two minutes of a figure, from zero. */
function Spark({ name }: { name: FigureName }) {
  const values = history.value.map((figures) => figures[name]);
  const most = Math.max(1e-9, ...values.map((value) => value ?? 0));
  const points = values
    .map((value, i) =>
      value === null
        ? null
        : ([
            WIDTH - ((values.length - 1 - i) * WIDTH) / 59,
            HEIGHT - 1 - (value / most) * (HEIGHT - 3),
          ] as const),
    )
    .filter((point) => point !== null);
  const line = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ');
  const first = points[0];
  const last = points.at(-1);
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      {first !== undefined && last !== undefined && points.length > 1 && (
        <>
          <polygon points={`${first[0]},${HEIGHT} ${line} ${last[0]},${HEIGHT}`} />
          <polyline points={line} />
        </>
      )}
    </svg>
  );
}
