import type {
  Destination,
  Done,
  SpoolEntry,
  SpoolOptions,
  SpoolReader,
  SpoolState,
  SpoolStats,
} from './types.ts';

export interface Spool {
  readonly sourceId: string;
  readonly state: SpoolState;
  readonly stats: SpoolStats;
  nextN(): number;
  append(record: SpoolEntry, done: Done): boolean;
  onFree(listener: () => void): () => void;
  reader(name: Destination): SpoolReader;
  close(): Promise<void>;
}
export declare const Spool: { open(options: SpoolOptions): Promise<Spool> };
