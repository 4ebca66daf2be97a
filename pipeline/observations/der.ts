/**
 * Reads DER (X.690), as far as certificates need it. Elements are positions in the bytes: creating a Buffer for each costs more
 * than everything else.
 */

export class DerError extends Error {
  override name = 'DerError';
}

export interface Element {
  readonly bytes: Buffer;
  /** Identifier octet: class, constructed bit and number. Certificates have no numbers above 30. */
  readonly tag: number;
  /** Start and end of the content. */
  readonly start: number;
  readonly end: number;
}

export const TAG = {
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Reads the elements between two positions. Throws DerError if the bytes are not whole elements. */
export function readElements(bytes: Buffer, from = 0, to = bytes.length): Element[] {
  const elements: Element[] = [];
  let at = from;
  while (at < to) {
    if (at + 2 > to) throw new DerError('an element is cut off');
    const tag = bytes[at]!;
    if ((tag & 0x1f) === 0x1f) throw new DerError('a tag of more than one byte');
    let size = bytes[at + 1]!;
    at += 2;
    if (size > 0x7f) {
      const octets = size & 0x7f;
      if (octets === 0 || octets > 4 || at + octets > to) throw new DerError('a length in an invalid form');
      size = bytes.readUIntBE(at, octets);
      if (size < 0x80 || size < 2 ** (8 * (octets - 1))) throw new DerError('a length not in its shortest form');
      at += octets;
    }
    if (at + size > to) throw new DerError('an element is cut off');
    elements.push({ bytes, tag, start: at, end: at + size });
    at += size;
  }
  return elements;
}

/** Reads the elements inside an element with this tag. Throws DerError if the element is missing or has another tag. */
export function children(element: Element | undefined, tag: number): Element[] {
  const { bytes, start, end } = expect(element, tag);
  return readElements(bytes, start, end);
}

/** Returns the element. Throws DerError if it is missing or has another tag. */
export function expect(element: Element | undefined, tag: number): Element {
  if (element?.tag !== tag) throw new DerError(`tag ${element?.tag} where ${tag} was expected`);
  return element;
}

/** Returns a copy of the content. */
export function contentOf({ bytes, start, end }: Element): Buffer {
  return Buffer.from(bytes.subarray(start, end));
}

/** Reads an object identifier in dotted notation. Throws DerError. */
export function readOid(element: Element | undefined): string {
  const { bytes, start, end } = expect(element, TAG.oid);
  if (start === end || bytes[end - 1]! > 0x7f) throw new DerError('an object identifier that is cut off');
  let text = '';
  let part = 0;
  for (let at = start; at < end; at++) {
    part = part * 0x80 + (bytes[at]! & 0x7f);
    if (bytes[at]! > 0x7f) continue;
    const root = part < 40 ? 0 : part < 80 ? 1 : 2;
    text += text === '' ? `${root}.${part - root * 40}` : `.${part}`;
    part = 0;
  }
  return text;
}

/** Reads a UTCTime or GeneralizedTime, in the form of certificates, as milliseconds since 1970. Throws DerError. */
export function readTime(element: Element | undefined): number {
  const size = element?.tag === TAG.utcTime ? 13 : element?.tag === TAG.generalizedTime ? 15 : 0;
  if (!element || element.end - element.start !== size || size === 0) throw new DerError('a time in an invalid form');
  const { bytes, end } = element;
  for (let at = element.start; at < end - 1; at++) {
    if (bytes[at]! < DIGIT_0 || bytes[at]! > DIGIT_0 + 9) throw new DerError('a time in an invalid form');
  }
  if (bytes[end - 1] !== LETTER_Z) throw new DerError('a time in an invalid form');
  const part = (fromEnd: number) => 10 * (bytes[end - fromEnd]! - DIGIT_0) + bytes[end - fromEnd + 1]! - DIGIT_0;
  const [month, day, hour] = [part(11) - 1, part(9), part(7)];
  const year = size === 15 ? 100 * part(15) + part(13) : part(13) + (part(13) < 50 ? 2000 : 1900);
  const time = Date.UTC(year, month, day, hour, part(5), part(3));
  const date = new Date(time);
  if (year < 100 || date.getUTCMonth() !== month || date.getUTCDate() !== day || hour > 23) {
    throw new DerError('a time that is not in the calendar');
  }
  return time;
}

const DIGIT_0 = 0x30;
const LETTER_Z = 0x5a;
