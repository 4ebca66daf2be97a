/** Options for tars written by hand, which no tool writes. */

export interface TarHeaderOptions {
  /** The letter for the type of the member; `0`: a file. */
  readonly type?: string;
  /** Magic and version, eight characters; POSIX by default. */
  readonly magic?: string;
  /** The length field as stored, twelve bytes. */
  readonly length?: Buffer;
}

/** Returns the header of a tar member according to POSIX. The name is written in Latin-1. */
export function tarHeader(name: string, size: number, options: TarHeaderOptions = {}): Buffer {
  const { type = '0', magic = 'ustar\x0000', length } = options;
  const header = Buffer.alloc(512);
  header.write(name, 0, 100, 'latin1');
  header.write('0000644\0', 100);
  if (length) length.copy(header, 124);
  else header.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  header.write('        ', 148);
  header.write(type, 156);
  header.write(magic, 257, 8, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

/** Returns a member with its content, padded to whole blocks. */
export function tarMember(name: string, content: string | Buffer, options: TarHeaderOptions = {}): Buffer {
  const body = Buffer.from(content);
  return Buffer.concat([tarHeader(name, body.length, options), body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}

/** Returns the extended header that precedes a member: `length key=value` lines. */
export function paxHeader(values: Readonly<Record<string, string>>, type: 'x' | 'g' = 'x'): Buffer {
  const records = Object.entries(values).map(([key, value]) => {
    const rest = Buffer.byteLength(` ${key}=${value}\n`);
    let length = rest + String(rest).length;
    length = rest + String(length).length;
    return `${length} ${key}=${value}\n`;
  });
  return tarMember('pax', records.join(''), { type });
}
