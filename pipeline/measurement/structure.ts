import { MeasurementError } from './errors.ts';
import { pythonFloat, pythonInt, pythonText, SourceNumber } from './python.ts';

/**
 * Decodes JSON values into the model, in place. A value that already has its declared form stays unchanged, so a well-formed
 * measurement costs one pass of comparisons and no copy. observations.md section 2 specifies the conversions.
 */
export interface Kind<T> {
  /** Returns the value in its declared form. Throws FieldError if it cannot be converted. */
  readonly convert: (value: unknown) => T;
  /** JavaScript test of `v` that is true if no conversion is needed. Without it, `convert` is always called. */
  readonly test?: string;
}

export interface Field<T> {
  readonly kind: Kind<unknown>;
  readonly presence: 'required' | 'optional' | 'nullable';
  readonly whenAbsent?: unknown;
  /** Carries only the type. */
  readonly type?: T;
}

/** Type that a kind or structure decodes to. */
export type Decoded<K> = K extends Kind<infer T> ? T : never;

/** A value that cannot be converted. `path` is built while the error passes up, so it costs nothing without an error. */
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

/** Any value, converted to text. */
export const text: Kind<string> = { convert: pythonText, test: 'typeof v === "string"' };

/** A whole number. Fractions are cut off; numeric text and booleans are converted. */
export const integer: Kind<number> = {
  test: 'typeof v === "number" && v === Math.trunc(v)',
  convert(raw) {
    const value = plain(raw);
    if (typeof value === 'number') return Math.trunc(value);
    if (typeof value === 'boolean') return Number(value);
    return (typeof value === 'string' ? pythonInt(value) : undefined) ?? cannot('a whole number', value);
  },
};

/** A number. Numeric text and booleans are converted. */
export const real: Kind<number> = {
  test: 'typeof v === "number"',
  convert(raw) {
    const value = plain(raw);
    if (typeof value === 'number') return value;
    if (typeof value === 'boolean') return Number(value);
    return (typeof value === 'string' ? pythonFloat(value) : undefined) ?? cannot('a number', value);
  },
};

/** Any value, converted by Python's truth: empty text, lists and objects are false. */
export const boolean: Kind<boolean> = { test: 'typeof v === "boolean"', convert: truth };

/** Reports whether a JSON value is true in Python. */
export function truth(raw: unknown): boolean {
  const value = plain(raw);
  if (Array.isArray(value)) return value.length > 0;
  return typeof value === 'object' && value !== null ? Object.keys(value).length > 0 : Boolean(value);
}

/** A list. Text becomes the list of its characters, an object becomes the list of its keys. */
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

/** An object used as a map. Read only its own keys, because they come from the document. */
export function map<T>(member: Kind<T>): Kind<Record<string, T>> {
  return {
    convert(value) {
      if (!isObject(value)) return cannot('an object', value);
      let key = '';
      try {
        for (const name in value) {
          key = name;
          const before = value[name];
          const after = member.convert(before);
          // Not by assignment, which would set the prototype for the key `__proto__`.
          if (after !== before)
            Object.defineProperty(value, name, { value: after, enumerable: true, configurable: true, writable: true });
        }
      } catch (error) {
        throw at(`.${key}`, error);
      }
      return value as Record<string, T>;
    },
  };
}

/** Reports whether a value is a JSON object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof SourceNumber);
}

/** Adds a step to the path of the error. */
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

/** A key that must be present. Null is converted like any other value. */
export const required = <T>(kind: Kind<T>): Field<T> => ({ kind, presence: 'required' });
/** A key that may be absent or null. */
export const optional = <T>(kind: Kind<T>): Field<T | null | undefined> => ({ kind, presence: 'optional' });
/** A key that must be present and may be null. */
export const nullable = <T>(kind: Kind<T>): Field<T | null> => ({ kind, presence: 'nullable' });
/** A key that gets a default value if it is absent. */
export const defaulted = <T>(kind: Kind<T>, whenAbsent: T): Field<T> => ({ kind, presence: 'required', whenAbsent });

type Fields = Record<string, Field<unknown>>;
export type Structure<F extends Fields> = Kind<{ [K in keyof F]: F[K] extends Field<infer T> ? T : never }> & {
  readonly fields: F;
};

/**
 * An object with declared fields. Undeclared keys stay unchanged and are never read. The check is generated as straight-line code,
 * because it runs for every key of every sub-structure of every measurement.
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

/** Decodes a value in place. Throws MeasurementError with the name of the field. */
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
