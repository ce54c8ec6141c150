const TROUBLE_MS = 5_000;

/** Tells trouble at most every few seconds, with the number of devices that had some meanwhile. */
export function tellTrouble(say: (text: string) => void): (message: string) => void {
  let waiting = 0;
  let last = Number.NEGATIVE_INFINITY;
  return (message) => {
    waiting++;
    if (performance.now() - last < TROUBLE_MS) return;
    last = performance.now();
    const others = waiting > 1 ? ` (and ${waiting - 1} more devices had trouble)` : '';
    waiting = 0;
    say(`${message}${others}`);
  };
}
