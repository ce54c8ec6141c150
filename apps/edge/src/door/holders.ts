/**
 * Client ids for which something of one kind may be stored, so that nobody looks into the database, or clears there,
 * for the others: hardly any connection stores anything. Never misses one; one too many costs a look.
 */
export class Holders {
  /** Id → its newest note. */
  readonly #notes = new Map<string, number>();
  #count = 0;

  has(id: string): boolean {
    return this.#notes.has(id);
  }
  note(id: string): void {
    this.#notes.set(id, ++this.#count);
  }

  /** Writes something for `id`. */
  async writing(id: string, write: () => Promise<void>): Promise<void> {
    this.note(id);
    try {
      await write();
    } finally {
      this.note(id); // a removal that came in between may have forgotten it
    }
  }

  /** Removes all there is for `id`; nothing to do when there is nothing. */
  async removing(id: string, remove: () => Promise<void>): Promise<void> {
    const before = this.#notes.get(id);
    if (before === undefined) return;
    await remove();
    if (this.#notes.get(id) === before) this.#notes.delete(id);
  }
}
