import type { Reason } from '../../crds/conditions.ts';
import type { Filter } from '../../pipeline/filter.ts';
import { unknownNameMessage, unknownNames } from '../../pipeline/known-names.ts';
import type { Wanted } from './conditions.ts';

/** Something that is probably not what was meant, although it is accepted. */
export interface Doubt {
  readonly reason: Extract<Reason, 'UnknownName' | 'ScheduleMismatch' | 'FailedBefore' | 'NothingMatched'>;
  /** Whole sentences. */
  readonly message: string;
}

/** Names of a filter that no known test or country has: they probably select nothing. A probe may be newer than the list, so they are no errors. */
export function filterDoubts(spec: Filter): Doubt[] {
  const sentences = unknownNames(spec).map(unknown => {
    const message = unknownNameMessage(unknown);
    return `spec.${unknown.field}: ${message}${message.endsWith('?') ? '' : '.'}`;
  });
  if (sentences.length === 0) return [];
  return [{ reason: 'UnknownName', message: `${sentences.join(' ')} Such a name probably selects no measurements.` }];
}

/** The condition Warning: the reason of the first doubt and the sentences of all; none without doubts. */
export function warning(doubts: readonly Doubt[]): Wanted[] {
  const [first] = doubts;
  if (!first) return [];
  const message = doubts.map(doubt => doubt.message).join(' ');
  return [{ type: 'Warning', status: 'True', reason: first.reason, message }];
}
