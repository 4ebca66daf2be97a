import { z } from 'zod';

/**
 * A rule of an API, defined once for both of its checks: `cel` for the API server, `check` for the programs that read the object. (The
 * operator checks again, because an object may have been stored before the rule existed.) A test gives the same objects to both and
 * expects the same result.
 */
export interface Rule<T> {
  /** CEL expression; `self` is the value, `oldSelf` the former value. True means allowed. */
  cel: string;
  /** One sentence with the problem and the remedy. */
  message: string;
  /** CEL expression of a string that replaces `message` in order to name values. Its cost has a limit, so strings need a maxLength. */
  messageExpression?: string;
  /** The value is a string: the API server puts it, quoted, before the message. (Programs show it anyway.) */
  quote?: boolean;
  /** The same rule in TypeScript; absent for rules about a change (`oldSelf`), which only the API server can check. */
  check?: (value: T) => boolean;
  /** Field of the message, relative to the value; absent: the value itself. */
  field?: string;
}

/** Returns a schema with added rules. Give defaults and descriptions after it. */
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

/** Returns a schema for a value that cannot change after creation. `remedy` says what to do instead. */
export function immutable<S extends z.ZodType>(name: string, schema: S, remedy: string): S {
  const result = rules(schema, { cel: 'self == oldSelf', message: `${name} cannot be changed; ${remedy}` });
  const known = z.globalRegistry.get(result) ?? {};
  return known.description ? result.meta({ ...known, description: `${known.description} Immutable.` }) : result;
}
