import type { Reason } from '../../crds/conditions.ts';
import type { Filter } from '../../pipeline/filter.ts';
import { unknownNameMessage, unknownNames } from '../../pipeline/known-names.ts';
import type { DesiredCondition } from './conditions.ts';

/** A probable mistake in an accepted resource, for the condition Warning. */
export interface Warning {
  readonly reason: Extract<
    Reason,
    | 'InvalidAnnotation'
    | 'RequestedRunFailed'
    | 'UnknownName'
    | 'ScheduleMismatch'
    | 'BucketsMissing'
    | 'FailedBefore'
    | 'InFlight'
    | 'NothingMatched'
  >;
  /** Complete sentences. */
  readonly message: string;
}

/** Number of unknown names that a message lists. */
const SHOWN = 10;

/**
 * Returns a warning for the names of a filter that no known test or country has; they probably select nothing. They are not errors, because
 * a probe may be newer than the list.
 */
export function filterWarnings(spec: Filter): Warning[] {
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

/** Returns the condition Warning with the reason of the first warning and the sentences of all; empty without warnings. */
export function warningCondition(warnings: readonly Warning[]): DesiredCondition[] {
  const [first] = warnings;
  if (!first) return [];
  const message = warnings.map(warning => warning.message).join(' ');
  return [{ type: 'Warning', status: 'True', reason: first.reason, message }];
}
