/**
 * Definitions of messages and services in the JSON of protobufjs (`Root.toJSON`), and the part of them that programs need. A program with the
 * whole API of Temporal spends a quarter of a second on making classes of messages that it never sends.
 */

/** A package, message, enum or service. */
export interface Definition {
  readonly nested?: Readonly<Record<string, Definition>>;
  readonly fields?: Readonly<Record<string, Field>>;
  readonly values?: object;
  readonly methods?: Readonly<Record<string, Method>>;
}

interface Field {
  readonly type: string;
  readonly keyType?: string;
}

interface Method {
  readonly requestType: string;
  readonly responseType: string;
}

/** A definition, with the names from the root to itself. */
interface Place {
  readonly path: readonly string[];
  readonly definition: Definition;
  /** The message that has this definition inside it. */
  readonly around?: Place;
}

/**
 * Returns the definitions that programs with this source text can use: messages, enums and services that it names from the root
 * (`temporal.api.history.v1.History`), enums of packages that it names, and what these refer to. Of a service it keeps the methods that the
 * text calls (`.describeSchedule(`). Throws for a reference to a definition that does not exist.
 */
export function usedDefinitions(root: Definition, source: string): Definition {
  const called = new Set(
    [...source.matchAll(/Service\.(\w+)|\.(\w+)\(/g)].map(([, member, method]) => member ?? method),
  );
  const names = new RegExp(`\\b(?:${Object.keys(root.nested ?? {}).join('|')})(?:\\.\\w+)+`, 'g');
  const named = new Set([...source.matchAll(names)].flatMap(([text]) => prefixesOf(text)));
  const kept = new Set<string>();
  const waiting: Place[] = [];
  const keep = (place: Place) => {
    const name = place.path.join('.');
    if (kept.has(name)) return;
    kept.add(name);
    waiting.push(place);
    if (place.around) keep(place.around);
  };
  for (const place of placesIn({ path: [], definition: root })) {
    const { path, definition, around } = place;
    const isEnumOfPackage = definition.values && !around && named.has(path.slice(0, -1).join('.'));
    if (isEnumOfPackage || named.has(path.join('.'))) keep(place);
  }
  for (let place = waiting.pop(); place; place = waiting.pop()) {
    const { path, definition } = place;
    const types = [
      ...Object.values(definition.fields ?? {}).map(({ type }) => type),
      ...methodsCalled(definition, called).flatMap(([, { requestType, responseType }]) => [requestType, responseType]),
    ];
    for (const type of types) if (!SCALARS.has(type)) keep(find(root, path, type));
  }
  return prune({ path: [], definition: root }, kept, called) ?? {};
}

const SCALARS = new Set(
  'double float int32 uint32 sint32 fixed32 sfixed32 int64 uint64 sint64 fixed64 sfixed64 string bool bytes'.split(' '),
);

/** Returns `a`, `a.b` and `a.b.c` of `a.b.c`. */
function prefixesOf(text: string): string[] {
  const parts = text.split('.');
  return parts.map((_, index) => parts.slice(0, index + 1).join('.'));
}

/** Yields messages, enums and services. */
function* placesIn(outer: Place): Generator<Place> {
  for (const name of Object.keys(outer.definition.nested ?? {})) {
    const place = placeIn(outer, name);
    if (place && !isPackage(place.definition)) yield place;
    if (place) yield* placesIn(place);
  }
}

function placeIn(outer: Place | undefined, name: string): Place | undefined {
  const definition = outer?.definition.nested?.[name];
  if (!outer || !definition) return undefined;
  return { path: [...outer.path, name], definition, ...(outer.definition.fields && { around: outer }) };
}

function isPackage({ fields, values, methods }: Definition): boolean {
  return !fields && !values && !methods;
}

function methodsCalled({ methods = {} }: Definition, called: ReadonlySet<string | undefined>): [string, Method][] {
  return Object.entries(methods).filter(([name]) => called.has(`${name.charAt(0).toLowerCase()}${name.slice(1)}`));
}

/** Finds the definition of a type that `from` refers to: in the innermost scope that has it, as the language demands. */
function find(root: Definition, from: readonly string[], type: string): Place {
  const isAbsolute = type.startsWith('.');
  const parts = type.split('.').filter(Boolean);
  for (let depth = isAbsolute ? 0 : from.length; depth >= 0; depth--) {
    const found = [...from.slice(0, depth), ...parts].reduce<Place | undefined>(placeIn, {
      path: [],
      definition: root,
    });
    if (found && !isPackage(found.definition)) return found;
  }
  throw new Error(`${from.join('.')} refers to ${type}, which is not defined`);
}

/** Returns a definition without the parts that are not kept; undefined if nothing is left. */
function prune(
  { path, definition }: Place,
  kept: ReadonlySet<string>,
  called: ReadonlySet<string | undefined>,
): Definition | undefined {
  const isKept = kept.has(path.join('.'));
  const nested = Object.entries(definition.nested ?? {}).flatMap(([name, inner]) => {
    const left = prune({ path: [...path, name], definition: inner }, kept, called);
    return left ? [[name, left] as const] : [];
  });
  if (!isKept && nested.length === 0) return undefined;
  const { nested: _, ...own } = definition;
  return {
    ...own,
    ...(definition.methods && { methods: Object.fromEntries(methodsCalled(definition, called)) }),
    ...(nested.length > 0 && { nested: Object.fromEntries(nested) }),
  };
}
