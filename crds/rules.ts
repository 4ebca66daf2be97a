import { z } from 'zod';

/**
 * One rule of an API, written once for both of its judges: `cel` for the API server, `check` for the programs that read the
 * object (the operator runs it again, because an object may have been stored before the rule existed). A test gives the same
 * objects to both and expects the same verdict.
 */
export interface Rule<T> {
  /** CEL expression; `self` is the value, `oldSelf` what it was. True means allowed. */
  cel: string;
  /** One sentence that says what is wrong and what to write instead. */
  message: string;
  /** CEL expression of a string that replaces `message` for naming values; its cost has a bound, so strings need a maxLength. */
  messageExpression?: string;
  /** The value is a string: the API server puts it, quoted, before the message. (Programs show it anyway.) */
  quote?: boolean;
  /** The same rule in TypeScript; absent for rules about a change (`oldSelf`), which only the API server can judge. */
  check?: (value: T) => boolean;
  /** Field the message belongs to, seen from the value; absent: the value itself. */
  field?: string;
}

/** A schema with rules added. Give defaults and descriptions after it. */
export function rules<S extends z.ZodType>(schema: S, ...list: Rule<z.output<S>>[]): S {
  const before = z.globalRegistry.get(schema) ?? {};
  let result = schema;
  for (const { check, message, field } of list) {
    if (check) result = result.refine(check, { message, path: field ? [field] : [] });
  }
  const known = (before['x-kubernetes-validations'] ?? []) as object[];
  const added = list.map(({ cel, message, messageExpression, quote, field }) => ({
    rule: cel,
    message,
    ...(messageExpression && { messageExpression }),
    ...(quote && { messageExpression: `'"' + self + '" ' + ${JSON.stringify(message)}` }),
    ...(field && { fieldPath: `.${field}` }),
  }));
  return result.meta({ ...before, 'x-kubernetes-validations': [...known, ...added] });
}

/** A value that stays as it was created. `remedy` says what to do instead of changing it. */
export function immutable<S extends z.ZodType>(name: string, schema: S, remedy: string): S {
  const result = rules(schema, { cel: 'self == oldSelf', message: `${name} cannot be changed; ${remedy}` });
  const known = z.globalRegistry.get(result) ?? {};
  return known.description ? result.meta({ ...known, description: `${known.description} Immutable.` }) : result;
}
