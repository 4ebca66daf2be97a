import { XxHash32 } from '../../pipeline/archive/xxh32.ts';

/** An LZ4 frame of blocks that are stored as they are. */
export function lz4Stored(data: Buffer): Buffer {
  const descriptor = Buffer.from([0x60, 0x70]);
  const parts: Buffer[] = [Buffer.from([0x04, 0x22, 0x4d, 0x18]), descriptor];
  parts.push(Buffer.from([(new XxHash32().update(descriptor).digest() >>> 8) & 0xff]));
  const size = Buffer.alloc(4);
  for (let at = 0; at < data.length; at += 4 << 20) {
    const block = data.subarray(at, at + (4 << 20));
    size.writeUInt32LE((block.length | 0x80000000) >>> 0);
    parts.push(Buffer.from(size), block);
  }
  return Buffer.concat([...parts, Buffer.alloc(4)]);
}
