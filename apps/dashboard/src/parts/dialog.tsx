import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { actor, rememberActor } from '../actor.ts';
import { sentence } from '../state.ts';

/** A window over the page: Escape and its button close it, the focus returns to where it was. */
export function Dialog({
  title,
  wide = false,
  onClose,
  children,
}: {
  title: string;
  wide?: boolean;
  onClose: () => void;
  children: ComponentChildren;
}) {
  const box = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    box.current?.showModal();
  }, []);
  return (
    <dialog ref={box} class={wide ? 'wide' : ''} aria-labelledby={id} onClose={onClose}>
      <div class="dialog-head">
        <h2 id={id}>{title}</h2>
        <button type="button" class="quiet" onClick={() => box.current?.close()}>
          Close
        </button>
      </div>
      {children}
    </dialog>
  );
}

/**
 * A form that changes something: who and why are asked for, because both go into the audit trail. The button rests
 * while the gateway works; a refusal is shown as its sentence and nothing is lost.
 */
export function ChangeForm({
  action,
  grave = false,
  onDone,
  change,
  children,
}: {
  /** Text of the button. */
  action: string;
  /** What cannot be undone. */
  grave?: boolean;
  onDone: () => void;
  change: (why: string) => Promise<unknown>;
  children?: ComponentChildren;
}) {
  const [why, setWhy] = useState('');
  const [isBusy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState<string | null>(null);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setTrouble(null);
    try {
      await change(why.trim());
      onDone();
    } catch (error) {
      setTrouble(sentence(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form class="change" onSubmit={submit}>
      {children}
      <label class="field">
        <span>Why</span>
        <input
          required
          maxLength={1_000}
          value={why}
          onInput={(event) => setWhy(event.currentTarget.value)}
          placeholder="for the audit trail"
        />
      </label>
      <label class="field">
        <span>Your name</span>
        <input
          maxLength={200}
          value={actor.value}
          autocomplete="name"
          onInput={(event) => rememberActor(event.currentTarget.value)}
          placeholder="else your address is noted"
        />
      </label>
      {trouble !== null && (
        <p class="note is-bad" role="alert">
          {trouble}
        </p>
      )}
      <button type="submit" class={grave ? 'button is-grave' : 'button'} disabled={isBusy}>
        {isBusy ? 'Working …' : action}
      </button>
    </form>
  );
}
