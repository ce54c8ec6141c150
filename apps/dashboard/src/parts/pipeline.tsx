import { signal } from '@preact/signals';
import type { Stage, StageId } from '@weir/api';
import { figure, rate } from '../format.ts';
import { status } from '../state.ts';
import { StateMark } from './icons.tsx';
import { LINKS, Links } from './links.tsx';
import { PressureStrip } from './pressure.tsx';

/** Shown before the first answer, so that the picture does not jump when it comes. */
const NAMES: Readonly<Record<StageId, string>> = {
  devices: 'Devices',
  edge: 'Edge',
  spool: 'Spool',
  kafka: 'Kafka',
  aggregator: 'Aggregator',
  timescale: 'TimescaleDB',
  archiver: 'Archiver',
  minio: 'MinIO',
  rabbitmq: 'RabbitMQ',
  alerter: 'Alerter',
  live: 'Live',
  'dead-letters': 'Dead letters',
};
const ORDER = Object.keys(NAMES) as StageId[];

const chosen = signal<StageId | null>(null);

export function Pipeline() {
  const stages = new Map(status.value?.stages.map((stage) => [stage.id, stage]));
  const open = chosen.value === null ? undefined : stages.get(chosen.value);
  const wrong = [...stages.values()].filter((stage) => stage.state !== 'ok');
  return (
    <section aria-labelledby="pipeline-title">
      <div class="section-head">
        <h2 id="pipeline-title">The path of a reading</h2>
        <p class="muted">Choose a stage for its figures.</p>
      </div>
      <div class="flow">
        <Links stages={stages} />
        <ol class="stages">
          {ORDER.map((id) => (
            <StageCard key={id} id={id} stage={stages.get(id)} />
          ))}
        </ol>
      </div>
      <PressureStrip />
      {open !== undefined && <Detail stage={open} />}
      {wrong.length > 0 && (
        <ul class="wrong" aria-label="Stages that need a look">
          {wrong.map((stage) => (
            <li key={stage.id}>
              <StateMark state={stage.state} />
              <span>
                <strong>{stage.name}</strong> · {stage.detail}
              </span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function StageCard({ id, stage }: { id: StageId; stage: Stage | undefined }) {
  const selected = chosen.value === id;
  const toggle = (): void => {
    chosen.value = selected ? null : id;
  };
  const before = LINKS.filter(([, to]) => to === id).map(([from]) => NAMES[from]);
  const known = stage?.figures.filter(({ value }) => value !== null) ?? [];
  // A stage without a rate of its own (the archive) shows what it holds.
  const [held] = stage?.figures ?? [];
  const still = stage !== undefined && stage.rate === null && stage.rateUnit === '';
  const big =
    stage === undefined
      ? undefined
      : still
        ? { text: figure(held?.value ?? null, ''), unit: held?.name ?? '' }
        : { text: rate(stage.rate), unit: stage.rateUnit };
  const shown = known.filter((one) => !still || one !== held).slice(0, 2);
  return (
    <li class={`stage at-${id}`} data-stage={id}>
      <button
        type="button"
        class={`card is-${stage?.state ?? 'unknown'}`}
        aria-expanded={selected}
        aria-controls="stage-detail"
        onClick={toggle}
      >
        <span class="card-top">
          <span class="name">{NAMES[id]}</span>
          <StateMark state={stage?.state ?? 'unknown'} />
        </span>
        {before.length > 0 && <span class="sr-only">, fed by {before.join(', ')}</span>}
        <span class="card-rate">
          {big === undefined ? (
            <span class="muted">…</span>
          ) : (
            <>
              <b>{big.text}</b> <span class="unit">{big.unit}</span>
            </>
          )}
        </span>
        <span class="card-figures">
          {shown.map(({ name, value, unit }) => (
            <span key={name}>
              {name} <b>{figure(value, unit)}</b>
            </span>
          ))}
        </span>
      </button>
    </li>
  );
}

function Detail({ stage }: { stage: Stage }) {
  const close = (): void => {
    document.querySelector<HTMLButtonElement>(`[data-stage="${stage.id}"] button`)?.focus();
    chosen.value = null;
  };
  return (
    <section class="detail" id="stage-detail" aria-label={`${stage.name} in detail`}>
      <div>
        <h3>{stage.name}</h3>
        <p>{stage.detail}</p>
      </div>
      <dl>
        {stage.rateUnit !== '' && (
          <div>
            <dt>{stage.rateUnit}</dt>
            <dd>{rate(stage.rate)}</dd>
          </div>
        )}
        {stage.figures.map(({ name, value, unit }) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{figure(value, unit)}</dd>
          </div>
        ))}
      </dl>
      <button type="button" class="quiet" onClick={close}>
        Close
      </button>
    </section>
  );
}
