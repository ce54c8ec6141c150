/** An alert of a device that fires. */
export interface FiringAlert {
  readonly id: string;
  readonly device: string;
  /** Epoch milliseconds. */
  readonly firedAt: number;
}

/**
 * The alerts of the stretch of time that has those of the most devices, oldest first; of equal ones the newest.
 * @param within length of the stretch, milliseconds, both ends included
 */
export function densest(alerts: Iterable<FiringAlert>, within: number): readonly FiringAlert[] {
  const sorted = [...alerts].sort((a, b) => a.firedAt - b.firedAt);
  const inside = new Map<string, number>();
  let best: readonly [from: number, to: number, devices: number] = [0, 0, 0];
  let from = 0;
  for (const [index, { device, firedAt }] of sorted.entries()) {
    inside.set(device, (inside.get(device) ?? 0) + 1);
    for (let first = sorted[from]; first !== undefined && firedAt - first.firedAt > within; ) {
      const left = (inside.get(first.device) ?? 0) - 1;
      if (left === 0) inside.delete(first.device);
      else inside.set(first.device, left);
      first = sorted[++from];
    }
    if (inside.size >= best[2]) best = [from, index + 1, inside.size];
  }
  return sorted.slice(best[0], best[1]);
}

export const devicesOf = (alerts: Iterable<FiringAlert>): number =>
  new Set([...alerts].map(({ device }) => device)).size;
