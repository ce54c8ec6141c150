import { startWeir } from './pipeline.ts';

export interface Tally {
  readonly equal: number;
  readonly missing: number;
  readonly extra: number;
  readonly different: number;
  readonly expired: number;
  readonly open: number;
  readonly unprovable: number;
}
export interface Example {
  readonly kind: 'missing' | 'extra' | 'different';
  readonly table: string;
  readonly of: Readonly<Record<string, unknown>> | null;
  readonly id: number | null;
  readonly start: string;
  readonly columns: Readonly<Record<string, { readonly stored: unknown; readonly recomputed: unknown }>>;
  readonly offsets?: {
    readonly partition: number;
    readonly list: readonly string[];
    readonly more: boolean;
  };
}
export interface Proof {
  readonly code: number;
  readonly clean: boolean;
  readonly levels: readonly {
    readonly table: string;
    readonly tally: Tally;
    readonly examples: readonly Example[];
  }[];
  readonly findings: readonly Readonly<Record<string, unknown>>[];
  readonly coverage: readonly { readonly partition: number; readonly from: string; readonly to: string }[];
  readonly counts: Readonly<Record<string, number>>;
}

/** Runs `weir audit` and returns what it found. Throws when it printed no report. */
export async function prove(
  env: Readonly<Record<string, string>>,
  ...args: readonly string[]
): Promise<Proof> {
  try {
    const { stdout } = await startWeir(env, 'audit', '--json', ...args);
    return { code: 0, ...JSON.parse(stdout) };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    if (!stdout.startsWith('{')) throw new Error(`weir audit ended with ${code}: ${stderr}`);
    return { code, ...JSON.parse(stdout) };
  }
}

/** What is wrong, by table; empty when nothing is. */
export function wrongs({ levels }: Proof): Record<string, Partial<Tally>> {
  const found: Record<string, Partial<Tally>> = {};
  for (const { table, tally } of levels) {
    const { missing, extra, different } = tally;
    const wrong = Object.fromEntries(Object.entries({ missing, extra, different }).filter(([, n]) => n > 0));
    if (Object.keys(wrong).length > 0) found[table] = wrong;
  }
  return found;
}
