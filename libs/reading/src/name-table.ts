import { isText, slotOf } from './name-hash.ts';

const SLOTS = 1 << 10;
/** Slots that a name may stand in. */
const PROBES = 4;

/**
 * One string for each name that was seen as bytes, so that a name which comes again makes no garbage and is compared by
 * its address. A cache of bounded size: a name that was pushed out is made anew.
 */
export class NameTable {
  private readonly names: (string | undefined)[];
  private readonly make: (text: string) => string | undefined;

  /**
   * @param make the string to use for a text that is not in the table; undefined when the text cannot be a name
   * @param slots a power of two
   */
  constructor(make: (text: string) => string | undefined, slots = SLOTS) {
    this.make = make;
    this.names = new Array<undefined>(slots).fill(undefined);
  }

  /**
   * The string of the ASCII bytes from..to.
   * @param hash of `hashByte` over these bytes
   */
  name(bytes: Buffer, from: number, to: number, hash: number): string | undefined {
    const { names } = this;
    const first = slotOf(hash, names.length - 1);
    let free = first;
    for (let probe = 0; probe < PROBES; probe++) {
      const slot = (first + probe) & (names.length - 1);
      const name = names[slot];
      if (name === undefined) {
        free = slot;
        break;
      }
      if (isText(name, bytes, from, to)) return name;
    }
    const made = this.make(bytes.toString('latin1', from, to));
    if (made !== undefined) names[free] = made;
    return made;
  }
}
