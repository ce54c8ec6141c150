import type { DeadLetterDetail } from '@weir/api';
import { useState } from 'preact/hooks';
import { api } from '../api.ts';
import { useAsked } from '../asked.ts';
import { bytes, moment } from '../format.ts';
import { Dialog } from '../parts/dialog.tsx';
import { ActionDialog, type LetterAction, LetterActions } from './actions.tsx';
import { hexLines } from './bytes.ts';

/** One letter: its original bytes beside the error, where it came from, and what was done to it. */
export function LetterDialog({
  id,
  onClose,
  onChanged,
}: {
  id: string;
  onClose: () => void;
  onChanged: () => void;
}) {
  const asked = useAsked(`letter ${id}`, (signal) => api.deadLetter(id, signal), 5_000);
  const [action, setAction] = useState<LetterAction | null>(null);
  const letter = asked.value;
  if (action !== null) {
    return (
      <ActionDialog
        action={action}
        selection={{ ids: id }}
        total={1}
        onClose={() => setAction(null)}
        onChanged={() => {
          asked.again();
          onChanged();
        }}
      />
    );
  }
  return (
    <Dialog
      title={letter === null ? 'Dead letter' : `${letter.reason} in ${letter.stage}`}
      wide
      onClose={onClose}
    >
      {asked.trouble !== null && <p class="note">The letter cannot be read now: {asked.trouble}</p>}
      {letter !== null && (
        <>
          <p class="is-bad said">{letter.errorMessage}</p>
          <Facts letter={letter} />
          <LetterActions label="Replay" onAction={setAction} />
          <Original letter={letter} />
          <Edits letter={letter} />
          <Headers letter={letter} />
          <History letter={letter} />
        </>
      )}
    </Dialog>
  );
}

function Facts({ letter }: { letter: DeadLetterDetail }) {
  const facts: readonly (readonly [string, string])[] = [
    [
      'Device',
      letter.device === null
        ? 'not known'
        : `${letter.device}${letter.site === null ? '' : ` at ${letter.site}`}`,
    ],
    ['Came over', `${letter.originSystem}: ${letter.origin}`],
    ['Lies at', letter.foundIn],
    ['Sent', moment(Date.parse(letter.originalAt))],
    ['Failed', moment(Date.parse(letter.lastFailedAt))],
    [
      'Status',
      `${letter.status}${letter.statusBy === null ? '' : ` by ${letter.statusBy}`}${letter.statusWhy === null ? '' : `: ${letter.statusWhy}`}`,
    ],
    ['Replayed', letter.replayCount === 0 ? 'never' : `${letter.replayCount} times`],
    ['SHA-256', letter.sha256.slice(0, 16)],
  ];
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div class="fact" key={name}>
          <dt class="muted">{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

type Shown = NonNullable<DeadLetterDetail['original']>;

/** Text to be read and copied; it scrolls by keyboard, too. */
function Text({ label, text }: { label: string; text: string }) {
  const rows = Math.min(14, text.split('\n').length + 1);
  return <textarea class="raw" readOnly spellcheck={false} aria-label={label} rows={rows} value={text} />;
}

function Bytes({ shown, label }: { shown: Shown; label: string }) {
  const raw = Uint8Array.from(atob(shown.base64), (character) => character.charCodeAt(0));
  return (
    <div class="bytes">
      <Text label={`${label} as text`} text={shown.text ?? '(not text)'} />
      <Text label={`${label} in hex`} text={hexLines(raw).join('\n')} />
    </div>
  );
}

function Original({ letter }: { letter: DeadLetterDetail }) {
  const { original } = letter;
  return (
    <section aria-label="Original bytes">
      <h3>
        Original, {bytes(letter.bytes)}{' '}
        {original !== null && (
          <a class="small" href={`/api/v1/dead-letters/${encodeURIComponent(letter.id)}/bytes`} download>
            download
          </a>
        )}
      </h3>
      {original === null ? (
        <p class="muted">
          Its bytes are not kept any more
          {letter.bytesRemovedAt === null ? '' : ` since ${moment(Date.parse(letter.bytesRemovedAt))}`}.
        </p>
      ) : (
        <>
          <Bytes shown={original} label="The original" />
          {original.truncated && <p class="small muted">Only its beginning is shown.</p>}
        </>
      )}
    </section>
  );
}

function Edits({ letter }: { letter: DeadLetterDetail }) {
  return letter.edits.map((edit) => (
    <section key={edit.number} aria-label={`Edit ${edit.number}`}>
      <h3>
        Edit {edit.number}{' '}
        <span class="small muted">
          by {edit.by}, {moment(Date.parse(edit.at))}: {edit.why}
        </span>
      </h3>
      <Text label={`Difference of edit ${edit.number}`} text={JSON.stringify(edit.difference, null, 2)} />
      <Bytes shown={edit.bytes} label={`Edit ${edit.number}`} />
    </section>
  ));
}

function Headers({ letter }: { letter: DeadLetterDetail }) {
  const entries = [...Object.entries(letter.headers), ...Object.entries(letter.properties)];
  if (entries.length === 0) return null;
  return (
    <details>
      <summary>Headers ({entries.length})</summary>
      <dl class="headers">
        {entries.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{typeof value === 'string' ? value : JSON.stringify(value)}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}

function History({ letter }: { letter: DeadLetterDetail }) {
  if (letter.history.length === 0) return null;
  return (
    <section aria-label="What was done to it">
      <h3>What was done to it</h3>
      <ol class="course">
        {letter.history.map((entry) => (
          <li key={entry.audit}>
            <time>{moment(Date.parse(entry.at))}</time> {entry.action} by <strong>{entry.actor}</strong>:{' '}
            {entry.why}
          </li>
        ))}
      </ol>
    </section>
  );
}
