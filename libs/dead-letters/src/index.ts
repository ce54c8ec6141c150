export { type Arrival, likeness, type NewLetter, readArrival } from './arrival.ts';
export { type BytesReader, type Located, openBytes } from './bytes.ts';
export { type Change, type Changed, type Move, moveLetters } from './change.ts';
export { type Draft, draftEdits, type JsonPatch, keepEdits, type Refused } from './edit.ts';
export { type Facets, readFacets } from './facets.ts';
export { lettersOfAudits, readEdits, readHistory } from './history.ts';
export {
  claimUnsettled,
  forgetUnsettled,
  type KeptLetter,
  keepLetters,
  knownLetters,
  returnLetters,
} from './keep.ts';
export {
  type FullLetter,
  kafkaPlace,
  type Letter,
  type LetterContent,
  type LetterHeaders,
  type LetterStatus,
  type Place,
} from './letter.ts';
export { type NamedOrigin, type OriginReader, originReader } from './origin.ts';
export {
  type Depth,
  expireRows,
  forgetPack,
  movePack,
  type PackPart,
  packDay,
  packsBefore,
  packsToClear,
  partsOf,
  readDepth,
  tidyLetters,
  unnamedPacks,
} from './packs.ts';
export {
  countLetters,
  findLetter,
  fullLetters,
  listLetters,
  type Page,
  type Parameter,
  parameters,
  whereOf,
} from './select.ts';
export * from './tasks.ts';
export { batchSize, chunkSize, Pace } from './tasks-pace.ts';
export { guard, PlanSum, type Verdict } from './tasks-plan.ts';
export {
  commandTask,
  countReturns,
  createTask,
  findTask,
  type ItemPage,
  listItems,
  listTasks,
  type NewTask,
  type ReplayItem,
  type TaskPage,
} from './tasks-store.ts';
export {
  addItems,
  type Claim,
  claimItems,
  finishPlan,
  forgetPlan,
  leaveRunning,
  type OpenItem,
  openDestinations,
  openItems,
  type PlannedItem,
  resumeAfterLag,
  type Settlement,
  settleItems,
  tidyTasks,
  waitingDestinations,
} from './tasks-work.ts';
