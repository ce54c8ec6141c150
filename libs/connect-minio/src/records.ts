import { WeirError } from '@weir/flow';

/** A record of the log, as the archive gives it back. */
export interface ArchivedRecord {
  readonly offset: bigint;
  /** Its lines as they were in the log, without newlines; those of a record that was kept as base64, split. */
  readonly lines: readonly string[];
}

const NEWLINE = 10;
const BRACE = 0x7b;
/** How the archiver keeps a record that is no envelope lines; see `splice-lines`. */
const WRAPPED = Buffer.from('"timestamp":');
const RAW = '"raw_base64":"';

/** Where a line lies in the log, and where the rest of it begins. */
interface Place {
  offset: number;
  line: number;
  rest: number;
}

/**
 * The records in the bytes of an object. The archiver put `"partition":3,"offset":100,"line":0,` behind the brace of each
 * line; that is taken out again. Throws a data error when offsets or line numbers do not follow each other, or do not
 * end where the object's name says.
 */
export function* recordsIn(
  bytes: Buffer,
  { key, first, last }: { readonly key: string; readonly first: bigint; readonly last: bigint },
): Generator<ArchivedRecord, void, undefined> {
  const wrong = (what: string): WeirError =>
    new WeirError('WEIR_DECODE', 'data', `archive object ${key}: ${what}`);
  const place: Place = { offset: 0, line: 0, rest: 0 };
  let next = Number(first);
  let lines: string[] | null = null;
  let count = 0;
  for (let start = 0; start < bytes.length; ) {
    let end = bytes.indexOf(NEWLINE, start);
    if (end < 0) end = bytes.length;
    if (!readPlace(bytes, start, end, place)) throw wrong(`no place in the log stands at byte ${start}`);
    const { offset, line, rest } = place;
    if (offset === next && line === 0) {
      if (lines !== null) yield { offset: BigInt(next - 1), lines };
      lines = [];
      count = 0;
      next++;
    } else if (lines === null || offset !== next - 1 || line !== count) {
      throw wrong(`line ${line} of offset ${offset} follows line ${count - 1} of offset ${next - 1}`);
    }
    count++;
    if (line === 0 && startsWith(bytes, rest, WRAPPED)) lines = unwrap(bytes.toString('latin1', rest, end));
    else lines.push(spliced(bytes, rest, end));
    start = end + 1;
  }
  if (lines === null || next !== Number(last) + 1)
    throw wrong(`its last record is ${next - 1}, its name says ${String(last)}`);
  yield { offset: BigInt(next - 1), lines };
}

/** The line as it was, in place: the byte before `rest` is free to become the brace. */
function spliced(bytes: Buffer, rest: number, end: number): string {
  bytes[rest - 1] = BRACE;
  return bytes.toString('utf8', rest - 1, end);
}

const PARTITION = Buffer.from('{"partition":');
const OFFSET = Buffer.from(',"offset":');
const LINE = Buffer.from(',"line":');
const COMMA = 0x2c;

function readPlace(bytes: Buffer, start: number, end: number, place: Place): boolean {
  let at = start;
  const skip = (text: Buffer): boolean => {
    if (!startsWith(bytes, at, text)) return false;
    at += text.length;
    return true;
  };
  const digits = (): number => {
    let value = 0;
    for (; at < end; at++) {
      const digit = (bytes[at] as number) - 48;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    return value;
  };
  if (!skip(PARTITION)) return false;
  digits();
  if (!skip(OFFSET)) return false;
  place.offset = digits();
  if (!skip(LINE)) return false;
  place.line = digits();
  if (bytes[at] !== COMMA) return false;
  place.rest = at + 1;
  return true;
}

function startsWith(bytes: Buffer, at: number, text: Buffer): boolean {
  return at + text.length <= bytes.length && text.compare(bytes, at, at + text.length) === 0;
}

/** The lines of the value that stands as base64, as a consumer of the log would split it. */
function unwrap(text: string): string[] {
  const from = text.lastIndexOf(RAW) + RAW.length;
  const value = Buffer.from(text.slice(from, text.lastIndexOf('"}')), 'base64').toString('utf8');
  const lines = value.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
}
