import { effect, signal } from '@preact/signals';
import type { Device } from '@weir/api';
import { useEffect } from 'preact/hooks';
import { api } from '../api.ts';
import { span } from '../format.ts';
import { device, now, select, sentence, status } from '../state.ts';
import { DevicePanel } from './device-panel.tsx';

const PAGE = 60;
/** Spread, because Preact's types allow this role only with a `list`; see the combobox pattern of ARIA APG. */
const COMBOBOX: Readonly<Record<string, string>> = {
  role: 'combobox',
  'aria-expanded': 'true',
  'aria-controls': 'device-list',
  'aria-autocomplete': 'list',
};

const search = signal('');
const found = signal<readonly Device[] | null>(null);
const more = signal<string | null>(null);
const trouble = signal<string | null>(null);
/** The row that the arrow keys are on; the selected one at first. */
const active = signal(0);

export const keyOf = ({ id, site }: Pick<Device, 'id' | 'site'>): string => `${site}/${id}`;

async function find(signal_: AbortSignal): Promise<void> {
  try {
    const answer = await api.devices({ q: search.value.trim(), limit: PAGE }, signal_);
    if (signal_.aborted) return;
    found.value = answer.devices;
    more.value = answer.next;
    trouble.value = null;
    const at = answer.devices.findIndex((one) => device.value !== null && keyOf(one) === keyOf(device.value));
    active.value = Math.max(0, at);
    const first = answer.devices[0];
    if (device.value === null && first !== undefined) select(first);
  } catch (error) {
    if (!signal_.aborted) trouble.value = sentence(error);
  }
}

async function findMore(): Promise<void> {
  if (more.value === null) return;
  try {
    const answer = await api.devices({ q: search.value.trim(), limit: PAGE, cursor: more.value });
    found.value = [...(found.value ?? []), ...answer.devices];
    more.value = answer.next;
  } catch (error) {
    trouble.value = sentence(error);
  }
}

/** Looks again for what is typed, 150 ms after the last key, and every few seconds while there is nothing to see. */
function startSearching(): () => void {
  let abort = new AbortController();
  let timer: number | undefined;
  const look = (): void => {
    abort.abort();
    abort = new AbortController();
    const mine = abort.signal;
    void find(mine).then(() => {
      if (mine.aborted) return;
      window.clearTimeout(timer);
      timer = window.setTimeout(look, (found.value?.length ?? 0) === 0 ? 3_000 : 20_000);
    });
  };
  const stop = effect(() => {
    search.value;
    window.clearTimeout(timer);
    timer = window.setTimeout(look, 150);
  });
  return () => {
    stop();
    abort.abort();
    window.clearTimeout(timer);
  };
}

export function Devices() {
  useEffect(startSearching, []);
  const nothing = found.value?.length === 0 && search.value.trim() === '';
  return (
    <section id="device" aria-labelledby="devices-title" tabIndex={-1}>
      <div class="section-head">
        <h2 id="devices-title">Devices</h2>
      </div>
      {nothing && device.value === null ? (
        <NoDevices />
      ) : (
        <div class="devices">
          <Picker />
          <DevicePanel
            of={found.value?.find((one) => device.value !== null && keyOf(one) === keyOf(device.value))}
          />
        </div>
      )}
    </section>
  );
}

function Picker() {
  const list = found.value ?? [];
  const choose = (index: number): void => {
    const one = list[index];
    if (one === undefined) return;
    active.value = index;
    select(one);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const last = list.length - 1;
    const to: Record<string, number> = {
      ArrowDown: Math.min(last, active.value + 1),
      ArrowUp: Math.max(0, active.value - 1),
      PageDown: Math.min(last, active.value + 10),
      PageUp: Math.max(0, active.value - 10),
    };
    const next = to[event.key];
    if (next !== undefined) {
      event.preventDefault();
      active.value = next;
      document.getElementById(`device-${next}`)?.scrollIntoView({ block: 'nearest' });
    } else if (event.key === 'Enter') {
      event.preventDefault();
      choose(active.value);
    } else if (event.key === 'Escape' && search.value !== '') {
      search.value = '';
    }
  };
  return (
    <div class="picker">
      <label class="sr-only" for="device-search">
        Find a device by its name or site; arrow keys move, Enter chooses
      </label>
      <input
        id="device-search"
        type="search"
        {...COMBOBOX}
        {...(list.length > 0 ? { 'aria-activedescendant': `device-${active.value}` } : {})}
        placeholder="Name or site"
        autocomplete="off"
        spellcheck={false}
        value={search.value}
        onInput={(event) => {
          search.value = event.currentTarget.value;
        }}
        onKeyDown={onKeyDown}
      />
      <div id="device-list" role="listbox" aria-label="Devices" class="list">
        {list.map((one, index) => {
          const chosen = device.value !== null && keyOf(one) === keyOf(device.value);
          return (
            // The keyboard works on the combobox, as the ARIA pattern has it; the rows take the pointer.
            <div
              key={keyOf(one)}
              id={`device-${index}`}
              role="option"
              tabIndex={-1}
              aria-selected={chosen}
              class={index === active.value ? 'option is-active' : 'option'}
              onClick={() => choose(index)}
              onKeyDown={onKeyDown}
            >
              <span class="option-name">{one.id}</span>
              <span class="option-site">{one.site}</span>
              <span class="option-seen">
                {one.lastSeen === null ? '' : seen(now.value - Date.parse(one.lastSeen))}
              </span>
            </div>
          );
        })}
      </div>
      {found.value === null && trouble.value === null && <p class="muted pad">Asking for the devices…</p>}
      {found.value?.length === 0 && (
        <p class="muted pad">No device has “{search.value.trim()}” in its name or site.</p>
      )}
      {trouble.value !== null && (
        <p class="pad" role="status">
          The devices cannot be listed: {trouble.value}
        </p>
      )}
      {more.value !== null && (
        <button type="button" class="quiet" onClick={() => void findMore()}>
          Show more devices
        </button>
      )}
    </div>
  );
}

/** The list is asked for every 20 s, so a device that sends all the time was seen "just now". */
const seen = (ms: number): string => (ms < 60_000 ? 'just now' : `${span(ms)} ago`);

function NoDevices() {
  const host = location.hostname;
  const doors = status.value?.doors;
  return (
    <div class="empty">
      <h3>No device has sent a reading yet</h3>
      <p>Publish one from a terminal, over MQTT or over HTTP, and it appears here within a few seconds:</p>
      <pre>
        <code>
          {`mosquitto_pub -h ${host} -p ${doors?.mqtt ?? 1883} -q 1 -i pump-1 -t telemetry/v1/hall/pump-1/temperature -m 21.4

curl -d '{"values":{"temperature":21.4}}' -H 'content-type: application/json' http://${host}:${doors?.http ?? 8081}/ingest/v1/hall/pump-1`}
        </code>
      </pre>
      <p class="muted">
        Where devices need credentials, <code>weir device add pump-1</code> makes one. A window appears when
        the device’s clock has passed its end, or after ten seconds of silence.
      </p>
    </div>
  );
}
