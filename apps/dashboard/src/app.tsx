import { AlertsPage } from './alerts/page.tsx';
import { timeOfDay } from './format.ts';
import { LagPage } from './lag/page.tsx';
import { LettersPage } from './letters/page.tsx';
import { Alerts } from './parts/alerts.tsx';
import { Devices } from './parts/devices.tsx';
import { Header } from './parts/header.tsx';
import { Ledger } from './parts/ledger.tsx';
import { Pipeline } from './parts/pipeline.tsx';
import { type Page, page } from './route.ts';
import { status, trouble } from './state.ts';

export function App() {
  return (
    <>
      <a class="skip" href={page.value === 'overview' ? '#device' : '#main'}>
        {page.value === 'overview' ? 'Skip to the devices' : 'Skip to the content'}
      </a>
      <Header />
      <main id="main" tabIndex={-1}>
        <Trouble />
        {PAGE[page.value]()}
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

function Overview() {
  return (
    <>
      <Ledger />
      <Pipeline />
      <Devices />
      <Alerts />
    </>
  );
}

const PAGE: Readonly<Record<Page, () => preact.JSX.Element>> = {
  overview: () => <Overview />,
  alerts: () => <AlertsPage />,
  'dead-letters': () => <LettersPage />,
  lag: () => <LagPage />,
};

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
