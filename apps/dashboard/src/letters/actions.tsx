import type { DeadLetterChanged, Replay, ReplayRequest } from '@weir/api';
import { useState } from 'preact/hooks';
import { api } from '../api.ts';
import { useAsked } from '../asked.ts';
import { count, span } from '../format.ts';
import { ChangeForm, Dialog } from '../parts/dialog.tsx';
import type { Field } from './selection.ts';

export type LetterAction = 'replay' | 'edit' | 'park' | 'purge';

const TITLES: Readonly<Record<LetterAction, string>> = {
  replay: 'Replay',
  edit: 'Edit',
  park: 'Park',
  purge: 'Purge',
};
const EXAMPLE = '[\n  { "op": "replace", "path": "/unit", "value": "C" }\n]';

export interface ActionProps {
  readonly action: LetterAction;
  /** As in the address. */
  readonly selection: Partial<Record<Field | 'ids', string>>;
  readonly total: number;
  readonly onClose: () => void;
  readonly onChanged: () => void;
}

/** What can be done with all letters that are chosen; each asks why, and says what happened. */
export function ActionDialog({ action, selection, total, onClose, onChanged }: ActionProps) {
  const [said, setSaid] = useState<string | null>(null);
  const [key] = useState(() => crypto.randomUUID());
  const [patch, setPatch] = useState(EXAMPLE);
  const letters = `${count(total)} ${total === 1 ? 'letter' : 'letters'}`;
  if (action === 'replay') {
    return (
      <Dialog title={`Replay ${letters}`} wide onClose={onClose}>
        <ReplaySteps selection={selection} idempotencyKey={key} onChanged={onChanged} onClose={onClose} />
      </Dialog>
    );
  }
  return (
    <Dialog title={`${TITLES[action]} ${letters}`} onClose={onClose}>
      {said !== null ? (
        <p role="status">{said}</p>
      ) : (
        <ChangeForm
          action={`${TITLES[action]} ${letters}`}
          grave={action === 'purge'}
          onDone={() => undefined}
          change={async (why) => {
            const edit = action === 'edit' ? { patch: parsePatch(patch) } : {};
            // What was chosen may have grown since it was counted: then nothing is done, and the sentence says so.
            const body = { selection, why, expect: total, ...edit };
            setSaid(report(await api.changeLetters(action, body, key)));
            onChanged();
          }}
        >
          <p>{EXPLAINED[action]}</p>
          {action === 'edit' && (
            <label class="field">
              <span>JSON patch (RFC 6902)</span>
              <textarea
                rows={6}
                spellcheck={false}
                value={patch}
                onInput={(event) => setPatch(event.currentTarget.value)}
              />
            </label>
          )}
        </ChangeForm>
      )}
    </Dialog>
  );
}

/** What can be done with the letters at hand. `label`: of the first button. */
export function LetterActions({
  label,
  onAction,
}: {
  label: string;
  onAction: (action: LetterAction) => void;
}) {
  return (
    <p class="actions">
      <button type="button" class="button" onClick={() => onAction('replay')}>
        {label} …
      </button>
      {(['edit', 'park', 'purge'] as const).map((action) => (
        <button key={action} type="button" class="button is-plain" onClick={() => onAction(action)}>
          {TITLES[action]} …
        </button>
      ))}
    </p>
  );
}

const EXPLAINED: Readonly<Record<Exclude<LetterAction, 'replay'>, string>> = {
  edit: 'The originals stay as they are. A letter whose edited payload is no valid reading is refused and left alone; the others send the edited payload when they are replayed.',
  park: 'Put aside: no replay takes them unless parked ones are asked for.',
  purge:
    'Their bytes are removed and cannot be brought back. That they existed, and who removed them, is kept.',
};

const DONE = { edit: 'edited', park: 'parked', unpark: 'taken back', purge: 'purged' } as const;

function report({ action, letters, unchanged, refused }: DeadLetterChanged): string {
  return [
    `${count(letters)} ${DONE[action]}.`,
    ...(unchanged === 0
      ? []
      : [`${count(unchanged)} were left as they are: their status does not allow it.`]),
    ...refused.map(({ why, letters: some }) => `${count(some)} refused: ${why}.`),
  ].join(' ');
}

function parsePatch(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`The patch is no JSON: ${(error as Error).message}`);
  }
}

/** First a plan, which says exactly what will be sent; then, when somebody agrees, the sending. */
function ReplaySteps({
  selection,
  idempotencyKey,
  onChanged,
  onClose,
}: {
  selection: ReplayRequest['selection'];
  idempotencyKey: string;
  onChanged: () => void;
  onClose: () => void;
}) {
  const [id, setId] = useState<string | null>(null);
  const [rate, setRate] = useState('');
  if (id !== null) return <Planned id={id} onChanged={onChanged} onClose={onClose} />;
  return (
    <ChangeForm
      action="Plan it"
      onDone={() => undefined}
      change={async (why) => {
        const replay = await api.planReplay(
          { selection, why, dryRun: true, ...(rate === '' ? {} : { rate: Number(rate) }) },
          idempotencyKey,
        );
        setId(replay.id);
      }}
    >
      <p>The plan says what would be sent where, and how long it takes. Nothing is sent yet.</p>
      <label class="field">
        <span>Letters a second, at most</span>
        <input
          type="number"
          min={1}
          max={1_000_000}
          value={rate}
          placeholder="as configured"
          onInput={(event) => setRate(event.currentTarget.value)}
        />
      </label>
    </ChangeForm>
  );
}

function Planned({ id, onChanged, onClose }: { id: string; onChanged: () => void; onClose: () => void }) {
  const asked = useAsked(`replay ${id}`, (signal) => api.replay(id, signal), 1_000);
  const replay = asked.value;
  if (replay === null) return <p role="status">{asked.trouble ?? 'Making the plan …'}</p>;
  if (replay.plan === null) return <p role="status">Making the plan …</p>;
  return (
    <>
      <Plan replay={replay} />
      {replay.state === 'planned' && replay.plan.send > 0 && (
        <ChangeForm
          action={`Send ${count(replay.plan.send)}`}
          onDone={() => {
            onChanged();
            onClose();
          }}
          change={(why) => api.orderReplay(id, 'resume', why)}
        />
      )}
    </>
  );
}

function Plan({ replay }: { replay: Replay }) {
  const { plan } = replay;
  if (plan === null) return null;
  return (
    <>
      <dl class="facts" data-plan>
        {(
          [
            ['To be sent', plan.send],
            ['Left out', plan.skip],
            ['Parked', plan.park],
            ['Refused', plan.refuse],
            ['Readings', plan.readings],
            ['Devices', plan.devices],
            ['Sent before', plan.replayedBefore],
          ] as const
        ).map(([name, value]) => (
          <div class="fact" key={name}>
            <dt class="muted">{name}</dt>
            <dd>{count(value)}</dd>
          </div>
        ))}
        <div class="fact">
          <dt class="muted">Takes</dt>
          <dd>
            {span(plan.seconds * 1_000)} at {count(replay.rate)}/s
          </dd>
        </div>
      </dl>
      <div class="columns">
        <div>
          {plan.send === 0 && <p>None of them can be sent as it is.</p>}
          {plan.send > 0 && <h3>Where to</h3>}
          <ul class="course">
            {plan.destinations.map(({ destination, letters }) => (
              <li key={destination}>
                {destination}: {count(letters)}
              </li>
            ))}
          </ul>
          {plan.errors.length > 0 && (
            <>
              <h3>Refused, because</h3>
              <ul class="course">
                {plan.errors.map(({ why, letters }) => (
                  <li key={why}>
                    {count(letters)}: {why}
                  </li>
                ))}
              </ul>
            </>
          )}
        </div>
        <div>
          {plan.samples.length > 0 && <h3>The first ones</h3>}
          <ul class="course">
            {plan.samples.map((sample) => (
              <li key={sample.letter}>
                {sample.device} <span class="muted">at {sample.site}</span>: {sample.reason} →{' '}
                {sample.destination}
              </li>
            ))}
          </ul>
        </div>
      </div>
    </>
  );
}
