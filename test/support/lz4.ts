import { XxHash32 } from '../../pipeline/archive/xxh32.ts';

/** Builds a frame with stored, uncompressed blocks according to the format's specification, because the lz4 tool does not write such frames. */
export function storedFrame(blocks: readonly Buffer[]): Buffer {
  const descriptor = Buffer.from([0b0110_0000, 0x40]);
  const checksum = (new XxHash32().update(descriptor).digest() >>> 8) & 0xff;
  const size = (length: number) => Buffer.from(Uint32Array.of((length | 0x80000000) >>> 0).buffer);
  return Buffer.concat([
    Buffer.from([0x04, 0x22, 0x4d, 0x18]),
    descriptor,
    Buffer.from([checksum]),
    ...blocks.flatMap(block => [size(block.length), block]),
    Buffer.alloc(4),
  ]);
}

/** Splits bytes into blocks of the size that such a frame allows. */
export function lz4Blocks(bytes: Buffer): Buffer[] {
  const size = 60_000;
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  );
}
