/** Ends a command with an exit code after it has printed what there is to say. */
export class Finished extends Error {
  readonly exitCode: number;
  constructor(exitCode: number) {
    super(`finished with exit code ${exitCode}`);
    this.exitCode = exitCode;
  }
}
