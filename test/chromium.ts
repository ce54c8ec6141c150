import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const browser = (): string => process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';

/** The page tests drive Debian's Chromium; installs it when it is missing and this process may. */
export function ensureChromium(): { ok: boolean; note: string } {
  if (existsSync(browser())) return { ok: true, note: browser() };
  const advice = 'install it (Debian: apt-get install chromium) or name another in CHROMIUM_PATH';
  if (process.getuid?.() !== 0) return { ok: false, note: `${browser()} is missing: ${advice}` };
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  for (const args of [
    ['update', '-qq'],
    ['install', '-y', '-qq', '--no-install-recommends', 'chromium'],
  ]) {
    const { status, stderr } = spawnSync('apt-get', args, { env, encoding: 'utf8' });
    if (status !== 0) return { ok: false, note: `apt-get ${args[0]} failed (${advice}):\n${stderr}` };
  }
  return { ok: existsSync(browser()), note: browser() };
}
