import { effect } from '@preact/signals';
import { render } from 'preact';
import { App } from './app.tsx';
import { startFeed } from './feed.ts';
import { followHistory } from './route.ts';
import { readAddress, startPolling, writeAddress } from './state.ts';
import 'uplot/dist/uPlot.min.css';
import './style/base.css';
import './style/pipeline.css';
import './style/device.css';
import './style/pages.css';

readAddress();
followHistory(readAddress);
effect(writeAddress);
startPolling();
startFeed();
const root = document.getElementById('app');
if (root !== null) render(<App />, root);
