import type { Reason } from '../../crds/conditions.ts';
import type { Filter } from '../../pipeline/filter.ts';
import { unknownNameMessage, unknownNames } from '../../pipeline/known-names.ts';
import type { DesiredCondition } from './conditions.ts';

/** A probable mistake in an accepted resource, for the condition Warning. */
export interface Doubt {
  readonly reason: Extract<
    Reason,
    'UnknownName' | 'ScheduleMismatch' | 'BucketsMissing' | 'FailedBefore' | 'NothingMatched'
  >;
  /** Complete sentences. */
  readonly message: string;
}

/** Number of unknown names that a message lists. */
const SHOWN = 10;

/**
 * Returns a doubt for the names of a filter that no known test or country has; they probably select nothing. They are not errors, because
 * a probe may be newer than the list.
 */
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

/** Returns the condition Warning with the reason of the first doubt and the sentences of all; empty without doubts. */
export function warning(doubts: readonly Doubt[]): DesiredCondition[] {
  const [first] = doubts;
  if (!first) return [];
  const message = doubts.map(doubt => doubt.message).join(' ');
  return [{ type: 'Warning', status: 'True', reason: first.reason, message }];
}
