import { readFileSync } from 'node:fs';
import { WeirError } from '@weir/flow';

export interface Recording {
  readonly times: readonly string[];
  readonly values: readonly number[];
}

/**
 * Reads a recording: CSV with a header line and the columns time and value.
 * @throws WeirError WEIR_STATE naming the file and the line.
 */
export function readRecording(file: string): Recording {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new WeirError(
      'WEIR_STATE',
      'fatal',
      `Reading the recording ${file}: the file cannot be read.`,
      error,
    );
  }
  const times: string[] = [];
  const values: number[] = [];
  const lines = text.split('\n');
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i]?.trim() ?? '';
    if (line === '') continue;
    const [time = '', column = ''] = line.split(',');
    const value = Number(column);
    if (column === '' || !Number.isFinite(value)) {
      throw new WeirError(
        'WEIR_STATE',
        'fatal',
        `Reading the recording ${file}: line ${i + 1} has no number.`,
      );
    }
    times.push(time);
    values.push(value);
  }
  if (values.length === 0) {
    throw new WeirError('WEIR_STATE', 'fatal', `Reading the recording ${file}: it holds no readings.`);
  }
  return { times, values };
}

/** Index of the first step at or after `time` (text as in the recording); 0 when there is none. */
export function positionOf(recording: Recording, time: string): number {
  return Math.max(
    0,
    recording.times.findIndex((step) => step >= time),
  );
}
