import type { Status } from '@weir/api';
import { api } from '../api.ts';
import { useAsked } from '../asked.ts';
import { bytes, count, rate } from '../format.ts';
import { history, status } from '../state.ts';
import { StateMark } from './icons.tsx';

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
      <BalanceStrip />
    </section>
  );
}

const BALANCE_MS = 3_000;

/** Whether every acknowledged reading is somewhere; each hop in a sentence when one is not. */
function BalanceStrip() {
  const { value, trouble } = useAsked('ledger', api.ledger, BALANCE_MS);
  if (value === null)
    return trouble === null ? null : (
      <p class="muted small">Whether the ledger balances is not known: {trouble}</p>
    );
  const { residual, text, hops } = value;
  return (
    <div role="status" aria-label="Balance of the ledger">
      <ul class="wrong balance" data-residual={residual}>
        <li>
          <StateMark state={residual === 0 ? 'ok' : 'down'} words={false} />
          <span>{text}</span>
        </li>
        {hops
          .filter((hop) => hop.lost > 0)
          .map((hop) => (
            <li key={hop.hop} data-hop={hop.hop}>
              <StateMark state={hop.residual === 0 ? 'ok' : 'down'} words={false} />
              <span>{hop.text}</span>
            </li>
          ))}
      </ul>
    </div>
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
