import { timeOfDay } from './format.ts';
import { Alerts } from './parts/alerts.tsx';
import { Devices } from './parts/devices.tsx';
import { Header } from './parts/header.tsx';
import { Ledger } from './parts/ledger.tsx';
import { Pipeline } from './parts/pipeline.tsx';
import { status, trouble } from './state.ts';

export function App() {
  return (
    <>
      <a class="skip" href="#device">
        Skip to the devices
      </a>
      <Header />
      <main>
        <Trouble />
        <Ledger />
        <Pipeline />
        <Devices />
        <Alerts />
      </main>
      <footer>
        <p>
          Weir counts every reading once. <a href="/docs">API</a> · <a href="/metrics">Metrics</a> ·{' '}
          <a href="/readyz">Readiness</a>
        </p>
      </footer>
    </>
  );
}

function Trouble() {
  if (trouble.value === null) return <div role="status" class="sr-only" />;
  const at = status.value === null ? null : timeOfDay(Date.parse(status.value.at));
  return (
    <div role="status" class="banner">
      <strong>{trouble.value}</strong>{' '}
      {at === null
        ? 'Trying again every few seconds. Is Weir running? `npm start` starts it, `weir status` shows what is missing.'
        : `Trying again every few seconds; the figures below are from ${at}.`}
    </div>
  );
}
