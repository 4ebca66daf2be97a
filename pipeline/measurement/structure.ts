import { MeasurementError } from './errors.ts';
import { pythonFloat, pythonInt, pythonText, SourceNumber } from './python.ts';

/**
 * Decoding of JSON values into the model, in place: a value that already has its declared form is left where it is, so a
 * well-formed measurement costs one pass of comparisons and no copy. The conversions are those of observations.md section 2.
 */
export interface Kind<T> {
  /** Returns the value in its declared form. Throws FieldError when there is none. */
  readonly convert: (value: unknown) => T;
  /** JavaScript test of `v` that holds when there is nothing to convert; without it `convert` is always called. */
  readonly test?: string;
}

export interface Field<T> {
  readonly kind: Kind<unknown>;
  readonly presence: 'required' | 'optional' | 'nullable';
  readonly whenAbsent?: unknown;
  /** Only carries the type. */
  readonly type?: T;
}

/** What a kind or structure decodes to. */
export type Decoded<K> = K extends Kind<infer T> ? T : never;

/** A value that cannot be converted; `path` grows on the way out, so nothing is spent on it while all is well. */
class FieldError extends Error {
  override name = 'FieldError';
  path = '';
  readonly kind: 'MissingField' | 'InvalidField';

  constructor(kind: 'MissingField' | 'InvalidField', message: string) {
    super(message);
    this.kind = kind;
  }
}

function cannot(expected: string, value: unknown): never {
  const shown = typeof value === 'object' ? (Array.isArray(value) ? 'a list' : 'an object') : JSON.stringify(value);
  throw new FieldError(
    'InvalidField',
    `must be ${expected}, is ${value === null ? 'null' : String(shown).slice(0, 60)}`,
  );
}

const plain = (value: unknown) => (value instanceof SourceNumber ? value.value : value);

/** Any value, turned into text. */
export const text: Kind<string> = { convert: pythonText, test: 'typeof v === "string"' };

/** A whole number; fractions are cut off, numeric text and booleans are taken. */
export const integer: Kind<number> = {
  test: 'typeof v === "number" && v === Math.trunc(v)',
  convert(raw) {
    const value = plain(raw);
    if (typeof value === 'number') return Math.trunc(value);
    if (typeof value === 'boolean') return Number(value);
    return (typeof value === 'string' ? pythonInt(value) : undefined) ?? cannot('a whole number', value);
  },
};

/** A number; numeric text and booleans are taken. */
export const real: Kind<number> = {
  test: 'typeof v === "number"',
  convert(raw) {
    const value = plain(raw);
    if (typeof value === 'number') return value;
    if (typeof value === 'boolean') return Number(value);
    return (typeof value === 'string' ? pythonFloat(value) : undefined) ?? cannot('a number', value);
  },
};

/** Any value, by its truth: empty text, lists and objects are false. */
export const boolean: Kind<boolean> = { test: 'typeof v === "boolean"', convert: truth };

/** Whether a JSON value counts as true in Python. */
export function truth(raw: unknown): boolean {
  const value = plain(raw);
  if (Array.isArray(value)) return value.length > 0;
  return typeof value === 'object' && value !== null ? Object.keys(value).length > 0 : Boolean(value);
}

/** A list; a text counts as the list of its characters, an object as the list of its keys. */
export function list<T>(item: Kind<T>): Kind<T[]> {
  return {
    convert(value) {
      const items = Array.isArray(value) ? value : elements(value);
      let i = 0;
      try {
        for (; i < items.length; i++) {
          const before: unknown = items[i];
          const after = item.convert(before);
          if (after !== before) items[i] = after;
        }
      } catch (error) {
        throw at(`[${i}]`, error);
      }
      return items as T[];
    },
  };
}

function elements(value: unknown): unknown[] {
  if (typeof value === 'string') return [...value];
  if (isObject(value)) return Object.keys(value);
  return cannot('a list', value);
}

/** An object used as a map. Keep to its own keys: they come from the document. */
export function map<T>(member: Kind<T>): Kind<Record<string, T>> {
  return {
    convert(value) {
      if (!isObject(value)) return cannot('an object', value);
      let key = '';
      try {
        for (key of Object.keys(value)) {
          const before = value[key];
          const after = member.convert(before);
          // Not by assignment: that would make `__proto__` a prototype.
          if (after !== before)
            Object.defineProperty(value, key, { value: after, enumerable: true, configurable: true, writable: true });
        }
      } catch (error) {
        throw at(`.${key}`, error);
      }
      return value as Record<string, T>;
    },
  };
}

/** Whether a value is a JSON object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof SourceNumber);
}

/** The error, with a step of the way to its place. */
function at(step: string, error: unknown): unknown {
  if (error instanceof FieldError) error.path = step + error.path;
  return error;
}

function within<T>(step: string, kind: Kind<T>, value: unknown): T {
  try {
    return kind.convert(value);
  } catch (error) {
    throw at(step, error);
  }
}

/** A key that must be there; null is converted like any other value. */
export const required = <T>(kind: Kind<T>): Field<T> => ({ kind, presence: 'required' });
/** A key that may be absent or null. */
export const optional = <T>(kind: Kind<T>): Field<T | null | undefined> => ({ kind, presence: 'optional' });
/** A key that must be there and may be null. */
export const nullable = <T>(kind: Kind<T>): Field<T | null> => ({ kind, presence: 'nullable' });
/** A key that gets a value where it is absent. */
export const defaulted = <T>(kind: Kind<T>, whenAbsent: T): Field<T> => ({ kind, presence: 'required', whenAbsent });

type Fields = Record<string, Field<unknown>>;
export type Structure<F extends Fields> = Kind<{ [K in keyof F]: F[K] extends Field<infer T> ? T : never }> & {
  readonly fields: F;
};

/**
 * An object with declared fields; keys that are not declared are left alone and never looked at. The check is generated as
 * straight-line code, because it runs over every key of every sub-structure of every measurement.
 */
export function structure<F extends Fields>(fields: F): Structure<F> {
  const names = Object.keys(fields);
  const statements = names.map((name, i) => {
    const { kind, presence, whenAbsent } = fields[name]!;
    const key = JSON.stringify(name);
    const store = `o[${key}] = within(".${name}", kinds[${i}], v);`;
    const test = kind.test ?? 'false';
    const missing = whenAbsent === undefined ? `missing(${key});` : `o[${key}] = ${JSON.stringify(whenAbsent)};`;
    if (presence === 'optional') return `if (!(${test}) && v !== undefined && v !== null) ${store}`;
    return `if (!(${test})) { if (v === undefined) ${missing} else ${presence === 'nullable' ? 'if (v !== null) ' : ''}${store} }`;
  });
  const make = new Function(
    'kinds',
    'within',
    'missing',
    'isObject',
    'cannot',
    `return o => {
       if (!isObject(o)) cannot('an object', o);
       let v;
       ${statements.map((statement, i) => `v = o[${JSON.stringify(names[i])}]; ${statement}`).join('\n')}
       return o;
     }
     //# sourceURL=pipeline/measurement/structure.ts/fields`,
  );
  const convert = make(
    names.map(name => fields[name]!.kind),
    within,
    missing,
    isObject,
    cannot,
  );
  return { convert, fields };
}

function missing(key: string): never {
  const error = new FieldError('MissingField', 'is missing');
  error.path = `.${key}`;
  throw error;
}

/** Decodes a value, in place. Throws MeasurementError naming the field. */
export function decode<T>(kind: Kind<T>, value: unknown): T {
  try {
    return kind.convert(value);
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    throw new MeasurementError(
      'decode',
      error.kind,
      `${error.path.replace(/^\./, '') || 'the document'} ${error.message}`,
    );
  }
}
