import type { z } from 'zod';

/**
 * Says in words what a value must be, for `safeParse(value, { error: inWords })`. Messages of a schema have priority. Undefined for an issue
 * without better words than zod's.
 */
export const inWords: z.core.$ZodErrorMap = issue => {
  switch (issue.code) {
    case 'invalid_type':
      return TYPES[issue.expected] && `must be ${TYPES[issue.expected]}`;
    case 'invalid_value':
      return `must be ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.join(', ')}`;
    case 'too_small':
      return issue.origin === 'number' ? `must be ${issue.minimum} or more` : undefined;
    case 'too_big':
      return issue.origin === 'number' ? `must be ${issue.maximum} or less` : undefined;
    default:
      return undefined;
  }
};

const TYPES: Readonly<Record<string, string>> = {
  number: 'a number',
  int: 'a whole number',
  string: 'a text in quotes',
};
