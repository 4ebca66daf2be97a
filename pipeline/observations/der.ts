/** Reading of DER (X.690), as much as a certificate needs. */

export class DerError extends Error {
  override name = 'DerError';
}

export interface Node {
  /** The identifier octet: class, constructed bit and number. Numbers above 30 do not occur in certificates. */
  readonly tag: number;
  readonly content: Buffer;
}

export const TAG = {
  boolean: 0x01,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  bmpString: 0x1e,
  universalString: 0x1c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** The elements that stand one behind the other. Throws DerError when the bytes are no whole elements. */
export function readAll(bytes: Buffer): Node[] {
  const nodes: Node[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (at + 2 > bytes.length) throw new DerError('an element is cut off');
    const tag = bytes[at]!;
    if ((tag & 0x1f) === 0x1f) throw new DerError('a tag of more than one byte');
    let size = bytes[at + 1]!;
    at += 2;
    if (size > 0x7f) {
      const octets = size & 0x7f;
      if (octets === 0 || octets > 4 || at + octets > bytes.length) throw new DerError('a length of no valid form');
      size = bytes.readUIntBE(at, octets);
      if (size < 0x80 || size < 2 ** (8 * (octets - 1))) throw new DerError('a length not in its shortest form');
      at += octets;
    }
    if (at + size > bytes.length) throw new DerError('an element is cut off');
    nodes.push({ tag, content: bytes.subarray(at, at + size) });
    at += size;
  }
  return nodes;
}

/** The elements inside an element with the expected tag. Throws DerError. */
export function children(node: Node | undefined, tag: number): Node[] {
  return readAll(expect(node, tag));
}

/** Content of an element with the expected tag. Throws DerError. */
export function expect(node: Node | undefined, tag: number): Buffer {
  if (node?.tag !== tag) throw new DerError(`tag ${node?.tag} where ${tag} was expected`);
  return node.content;
}

/** An object identifier in dotted notation. */
export function readOid(node: Node | undefined): string {
  const content = expect(node, TAG.oid);
  if (content.length === 0) throw new DerError('an empty object identifier');
  const parts: bigint[] = [];
  let part = 0n;
  for (const octet of content) {
    part = (part << 7n) | BigInt(octet & 0x7f);
    if (octet < 0x80) {
      parts.push(part);
      part = 0n;
    }
  }
  const first = parts.shift() ?? 0n;
  const root = first < 40n ? 0n : first < 80n ? 1n : 2n;
  return [root, first - root * 40n, ...parts].join('.');
}

/** A UTCTime or GeneralizedTime in the form that certificates use, as milliseconds since 1970. */
export function readTime(node: Node | undefined): number {
  const digits = node?.content.toString('latin1') ?? '';
  const shape = node?.tag === TAG.utcTime ? /^\d{12}Z$/ : node?.tag === TAG.generalizedTime ? /^\d{14}Z$/ : undefined;
  if (!shape?.test(digits)) throw new DerError('a time of no valid form');
  const full = digits.length === 13 ? (Number(digits.slice(0, 2)) < 50 ? '20' : '19') + digits : digits;
  const instant = Date.parse(full.replace(/^(....)(..)(..)(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z'));
  if (Number.isNaN(instant)) throw new DerError('a time that is not in the calendar');
  return instant;
}
