export { type BytesReader, type Located, openBytes } from './bytes.ts';
export {
  type FullLetter,
  kafkaPlace,
  type Letter,
  type LetterContent,
  type LetterHeaders,
  type LetterStatus,
  type Place,
} from './letter.ts';
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
