export {
  type ArchiveInfo,
  type ArchiveLine,
  type ArchiveObject,
  type ArchiveQuery,
  type ArchiveReader,
  openArchive,
  parseArchiveKey,
} from './archive.ts';
export type { ArchiveRetention } from './lifecycle.ts';
export type { ArchivedRecord } from './records.ts';
export {
  ensureBucket,
  type ListedObject,
  type Metadata,
  openStore,
  STORE_CALLS,
  STORE_IDLE_MS,
  type Store,
  type StoreOptions,
} from './store.ts';
