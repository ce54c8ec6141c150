import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { atEnd, CHECKOUT } from '@weir/testkit';
import axe from 'axe-core';
import { chromium, type Page } from 'playwright-core';
import type { Bench } from './gateway.fixture.ts';

const CHROMIUM = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'];
const QUIET = ['--disable-background-networking', '--disable-component-update', '--disable-sync'];

/** Builds the page as the gateway serves it; throws when there is no browser to look at it. */
export function buildPage(): void {
  if (!existsSync(CHROMIUM)) {
    throw new Error(`${CHROMIUM} is missing: apt-get install -y chromium, or set CHROMIUM_PATH.`);
  }
  execFileSync(
    process.execPath,
    [join(CHECKOUT, 'node_modules/vite/bin/vite.js'), 'build', '--logLevel', 'warn'],
    { cwd: join(CHECKOUT, 'apps/dashboard'), stdio: 'inherit' },
  );
}

const BUSY = /^Failed to load resource: .* status of 503 /;

export type { Page } from 'playwright-core';

export interface Look {
  readonly width?: number;
  readonly height?: number;
  readonly scheme?: 'light' | 'dark';
  readonly path?: string;
}
/** A page in a browser with an empty profile; the test fails when its console has an error. */
export async function openPage(it: Bench, t: TestContext, look: Look = {}): Promise<Page> {
  const context = await chromium.launchPersistentContext(mkdtempSync(join(it.space.folder, 'browser-')), {
    executablePath: CHROMIUM,
    headless: true,
    args: [...FLAGS, ...QUIET],
    viewport: { width: look.width ?? 1280, height: look.height ?? 900 },
    colorScheme: look.scheme ?? 'light',
  });
  const errors: string[] = [];
  atEnd(t, async () => {
    await context.close();
    assert.deepEqual(errors, [], 'the console has no errors');
  });
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(60_000);
  page.on('console', (message) => {
    // A crowded machine may keep an app from answering in time; the page says so itself, and asks again.
    if (message.type() !== 'error' || BUSY.test(message.text())) return;
    errors.push(`${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => errors.push(error.message));
  await page.goto(`${it.app.url}${look.path ?? '/'}`);
  return page;
}
export const textOf = async (page: Page, selector: string): Promise<string> =>
  (await page.locator(selector).first().textContent()) ?? '';

export async function overflow(page: Page): Promise<number> {
  // As text: the project's own types have no DOM.
  return page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
}
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  return page.evaluate<string[]>(
    'axe.run().then(({ violations }) => violations.map((one) => one.id + ": " + one.nodes.map((node) => node.html.slice(0, 160) + " " + node.any.map((any) => any.message).join(" ")).join(" | ")))',
  );
}
