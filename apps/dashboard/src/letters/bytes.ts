const WIDTH = 16;
const PRINTABLE = /[\x20-\x7e]/;

/** Lines of a hex view: offset, 16 bytes in hex, the same bytes as text where they are printable ASCII. */
export function hexLines(bytes: Uint8Array): string[] {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += WIDTH) {
    const row = [...bytes.subarray(at, at + WIDTH)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, '0'));
    const halves = [hex.slice(0, WIDTH / 2).join(' '), hex.slice(WIDTH / 2).join(' ')].join('  ');
    const text = row
      .map((byte) => String.fromCharCode(byte))
      .map((character) => (PRINTABLE.test(character) ? character : '.'))
      .join('');
    lines.push(`${at.toString(16).padStart(8, '0')}  ${halves.padEnd(WIDTH * 3)}  ${text}`);
  }
  return lines;
}
