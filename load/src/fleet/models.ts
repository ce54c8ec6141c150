import type { ModelSpec } from '../scenario/schema.ts';
import { readRecording } from './recording.ts';
import { constant, replayed, sine, steps, type ValueModel, walk } from './values.ts';

const recordings = new Map<string, readonly number[]>();

function recorded(file: string): readonly number[] {
  let values = recordings.get(file);
  if (values === undefined) {
    values = readRecording(file).values;
    recordings.set(file, values);
  }
  return values;
}

/** A model of a scenario for one metric of one device; `random` is the device's own. */
export function modelOf(spec: ModelSpec, random: () => number): ValueModel {
  switch (spec.kind) {
    case 'constant':
      return constant(spec.value);
    case 'sine':
      return sine(random, { ...spec, periodMs: spec.period });
    case 'walk':
      return walk(random, spec);
    case 'steps':
      return steps(spec.values, spec.hold);
    case 'recording':
      return replayed(recorded(spec.file), Math.floor(random() * recorded(spec.file).length));
  }
}
