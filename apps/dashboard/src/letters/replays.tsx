import type { Replay } from '@weir/api';
import { useState } from 'preact/hooks';
import { api } from '../api.ts';
import { useAsked } from '../asked.ts';
import { count, span } from '../format.ts';
import { ChangeForm, Dialog } from '../parts/dialog.tsx';
import { now } from '../state.ts';

type Order = 'pause' | 'resume' | 'cancel';
const ORDERS: Readonly<Record<Replay['state'], readonly Order[]>> = {
  planning: ['cancel'],
  planned: ['resume', 'cancel'],
  running: ['pause', 'cancel'],
  paused: ['resume', 'cancel'],
  done: [],
  cancelled: [],
  failed: [],
};
const WORDS = { pause: 'Pause', resume: 'Go on', cancel: 'End' } as const;

/** Letters that are sent again: how far each replay is, and what stops it. */
export function Replays() {
  const asked = useAsked('replays', (signal) => api.replays(signal), 2_000);
  const [order, setOrder] = useState<{ of: Replay; order: Order } | null>(null);
  return (
    <section aria-labelledby="replays-title">
      <div class="section-head">
        <h2 id="replays-title">Replays</h2>
      </div>
      {asked.trouble !== null && <p class="note">Replays cannot be read now: {asked.trouble}</p>}
      {asked.value?.replays.length === 0 && <p class="empty">Nothing was sent again yet.</p>}
      {asked.value !== null && asked.value.replays.length > 0 && (
        <ul class="replays">
          {asked.value.replays.map((replay) => (
            <Row
              key={replay.id}
              replay={replay}
              onOrder={(wanted) => setOrder({ of: replay, order: wanted })}
            />
          ))}
        </ul>
      )}
      {order !== null && (
        <Dialog title={`${WORDS[order.order]} a replay`} onClose={() => setOrder(null)}>
          <ChangeForm
            action={WORDS[order.order]}
            grave={order.order === 'cancel'}
            onDone={() => {
              setOrder(null);
              asked.again();
            }}
            change={(why) => api.orderReplay(order.of.id, order.order, why)}
          >
            <p>
              {order.order === 'cancel'
                ? 'What was sent stays sent; the rest is not touched.'
                : `Of ${count(order.of.plan?.letters ?? 0)} letters ${count(order.of.sent)} are sent.`}
            </p>
          </ChangeForm>
        </Dialog>
      )}
    </section>
  );
}

const CAUSES = {
  person: 'paused',
  lag: 'waits until its destination has caught up',
  returns: 'paused: its own letters came back',
} as const;

function Row({ replay, onOrder }: { replay: Replay; onOrder: (order: Order) => void }) {
  const { plan, sent, skipped, parked, failed } = replay;
  const done = sent + skipped + parked + failed;
  const all = plan?.letters ?? 0;
  const began = Date.parse(replay.createdAt);
  return (
    <li data-replay={replay.id} class={`replay replay-${replay.state}`}>
      <span>
        <span class={`chip chip-${replay.state}`}>{replay.state}</span>{' '}
        {replay.pauseCause !== null && replay.state === 'paused' && (
          <span class="small">{CAUSES[replay.pauseCause]}</span>
        )}
      </span>
      <span class="replay-what">
        {replay.why}{' '}
        <span class="muted small">
          by {replay.by}, {span(now.value - began)} ago
        </span>
        <progress max={Math.max(1, all)} value={done} aria-label="Letters done with">
          {done} of {all}
        </progress>
        <span class="small">
          {count(done)} of {count(all)}: {count(sent)} sent
          {skipped > 0 && `, ${count(skipped)} left out`}
          {parked > 0 && `, ${count(parked)} parked`}
          {failed > 0 && `, ${count(failed)} refused`}
        </span>
      </span>
      <span class="actions">
        {ORDERS[replay.state]
          .filter((order) => order !== 'resume' || plan?.send !== 0)
          .map((order) => (
            <button key={order} type="button" class="quiet" onClick={() => onOrder(order)}>
              {WORDS[order]} …
            </button>
          ))}
      </span>
    </li>
  );
}
