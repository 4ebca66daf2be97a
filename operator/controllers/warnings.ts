import type { Reason } from '../../crds/conditions.ts';
import type { Filter } from '../../pipeline/filter.ts';
import { unknownNameMessage, unknownNames } from '../../pipeline/known-names.ts';
import type { DesiredCondition } from './conditions.ts';

/** Something that is probably not what was meant, although it is accepted. */
export interface Doubt {
  readonly reason: Extract<Reason, 'UnknownName' | 'ScheduleMismatch' | 'FailedBefore' | 'NothingMatched'>;
  /** Whole sentences. */
  readonly message: string;
}

/** Unknown names that a message lists. */
const SHOWN = 10;

/** Names of a filter that no known test or country has: they probably select nothing. A probe may be newer than the list, so they are no errors. */
export function filterDoubts(spec: Filter): Doubt[] {
  const unknown = unknownNames(spec);
  const more = unknown.length - SHOWN;
  const sentences = unknown.slice(0, SHOWN).map(one => {
    const message = unknownNameMessage(one);
    return `spec.${one.field}: ${message}${message.endsWith('?') ? '' : '.'}`;
  });
  if (sentences.length === 0) return [];
  if (more > 0) sentences.push(`${more} more names are not known.`);
  return [{ reason: 'UnknownName', message: `${sentences.join(' ')} Such a name probably selects no measurements.` }];
}

/** The condition Warning: the reason of the first doubt and the sentences of all; none without doubts. */
export function warning(doubts: readonly Doubt[]): DesiredCondition[] {
  const [first] = doubts;
  if (!first) return [];
  const message = doubts.map(doubt => doubt.message).join(' ');
  return [{ type: 'Warning', status: 'True', reason: first.reason, message }];
}
