import { DamagedObjectError } from './gunzip.ts';
import { XxHash32 } from './xxh32.ts';

// The frame format of LZ4 (lz4_Frame_format.md 1.6.3). No npm package decodes frames as a stream without a compiler at install
// time, and a can is far too large to keep in memory.

const FRAME = 0x184d2204;
const SKIPPABLE = 0x184d2a50; // and the following 15 values
const HISTORY_BYTES = 64 * 1024;
const OUTPUT_BYTES = 256 * 1024;

/**
 * Decompresses LZ4 frames as a stream: one or several frames, linked or independent blocks; checksums are verified if present.
 * Holds one block (4 MiB at most) and its output. Yields all output before the damage, then throws DamagedObjectError. Passes on
 * errors of the source.
 */
export async function* unlz4(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const input = new ByteReader(source);
  try {
    while (!(await input.atEnd())) {
      const magic = (await input.take(4)).readUInt32LE();
      if (magic >>> 4 === SKIPPABLE >>> 4) await input.skip((await input.take(4)).readUInt32LE());
      else if (magic === FRAME) yield* readFrame(input);
      else throw new DamagedObjectError(`broken lz4: no frame starts with ${magic.toString(16).padStart(8, '0')}`);
    }
  } finally {
    await input.close();
  }
}

interface FrameHeader {
  readonly linkedBlocks: boolean;
  readonly blockChecksums: boolean;
  readonly contentChecksum: boolean;
  /** Number of decompressed bytes, if the header has it. */
  readonly contentSize?: bigint;
  readonly maxBlock: number;
}

async function readHeader(input: ByteReader): Promise<FrameHeader> {
  const start = await input.take(2);
  const [flags, block] = [start[0]!, start[1]!];
  if (flags >>> 6 !== 1) throw new DamagedObjectError(`broken lz4: frame version ${flags >>> 6} is not known`);
  if (flags & 1) throw new DamagedObjectError('broken lz4: the frame needs a dictionary');
  const maxBlock = [64, 256, 1024, 4096][((block >>> 4) & 7) - 4];
  if (maxBlock === undefined) throw new DamagedObjectError('broken lz4: the frame has no valid block size');
  const contentSize = flags & 8 ? await input.take(8) : Buffer.alloc(0);
  const checksum = (new XxHash32().update(start).update(contentSize).digest() >>> 8) & 0xff;
  if ((await input.take(1))[0] !== checksum) throw new DamagedObjectError('broken lz4: the frame header is damaged');
  return {
    linkedBlocks: (flags & 32) === 0,
    blockChecksums: (flags & 16) !== 0,
    contentChecksum: (flags & 4) !== 0,
    ...(flags & 8 && { contentSize: contentSize.readBigUInt64LE() }),
    maxBlock: maxBlock * 1024,
  };
}

async function* readFrame(input: ByteReader): AsyncGenerator<Buffer> {
  const header = await readHeader(input);
  const content = header.contentChecksum ? new XxHash32() : undefined;
  const room = Math.max(OUTPUT_BYTES, header.maxBlock);
  // Each block is unpacked directly after the previous one, so that a linked block finds its history before it.
  let output = Buffer.allocUnsafeSlow(HISTORY_BYTES + room);
  let frameStart = HISTORY_BYTES; // bytes before this position are not part of the frame
  let start = HISTORY_BYTES;
  let at = HISTORY_BYTES;
  let unpacked = 0;
  let damage: DamagedObjectError | undefined;
  while (!damage) {
    if (output.length - at < header.maxBlock) {
      yield output.subarray(start, at);
      const next = Buffer.allocUnsafeSlow(HISTORY_BYTES + room);
      output.copy(next, 0, at - HISTORY_BYTES, at);
      frameStart = Math.max(0, frameStart - (at - HISTORY_BYTES));
      output = next;
      start = at = HISTORY_BYTES;
    }
    try {
      const size = (await input.take(4)).readUInt32LE();
      if (size === 0) break;
      const length = size & 0x7fffffff;
      if (length > header.maxBlock) throw new DamagedObjectError(`broken lz4: a block of ${length} bytes is too long`);
      const { bytes, whole } = await input.takeUpTo(length);
      if (
        header.blockChecksums &&
        whole &&
        (await input.take(4)).readUInt32LE() !== new XxHash32().update(bytes).digest()
      ) {
        throw new DamagedObjectError('broken lz4: the checksum of a block differs');
      }
      const before = at;
      const floor = header.linkedBlocks ? Math.max(frameStart, at - HISTORY_BYTES) : at;
      if (size >>> 31) at += bytes.copy(output, at);
      else at = unpackBlock(bytes, output, at, floor, at + header.maxBlock);
      const complete = at >= 0;
      if (!complete) at = ~at;
      content?.update(output.subarray(before, at));
      unpacked += at - before;
      if (!whole) throw endsEarly();
      if (!complete) throw new DamagedObjectError('broken lz4: a block does not unpack');
    } catch (error) {
      if (!(error instanceof DamagedObjectError)) throw error;
      damage = error; // thrown after the output so far is yielded
    }
  }
  if (at > start) yield output.subarray(start, at);
  if (damage) throw damage;
  if (content && (await input.take(4)).readUInt32LE() !== content.digest()) {
    throw new DamagedObjectError('broken lz4: the checksum of the content differs');
  }
  if (header.contentSize !== undefined && header.contentSize !== BigInt(unpacked)) {
    throw new DamagedObjectError(
      `broken lz4: the frame holds ${unpacked} bytes, where its header says ${header.contentSize}`,
    );
  }
}

/**
 * Unpacks a block of LZ4 sequences to `output` at `at`. Matches reach back to `floor` at most, and output ends at `limit` at most.
 * Returns the position after the output, or its complement (~) if the block is damaged or cut off; the output before that position
 * is correct.
 */
function unpackBlock(block: Buffer, output: Buffer, at: number, floor: number, limit: number): number {
  let from = 0;
  let to = at;
  while (from < block.length) {
    const token = block[from++]!;
    let literals = token >>> 4;
    if (literals === 15) {
      let more: number | undefined;
      do {
        more = block[from++];
        if (more === undefined) return ~to;
        literals += more;
      } while (more === 255);
    }
    const available = Math.min(literals, block.length - from);
    if (to + available > limit) return ~to;
    if (available > 32) block.copy(output, to, from, from + available);
    else for (let index = 0; index < available; index++) output[to + index] = block[from + index]!;
    from += available;
    to += available;
    if (available < literals) return ~to;
    if (from === block.length) return to; // the last sequence ends after its literals
    if (from + 2 > block.length) return ~to;
    const offset = block[from]! | (block[from + 1]! << 8);
    from += 2;
    let length = (token & 15) + 4;
    if (length === 19) {
      let more: number | undefined;
      do {
        more = block[from++];
        if (more === undefined) return ~to;
        length += more;
      } while (more === 255);
    }
    const match = to - offset;
    if (offset === 0 || match < floor || to + length > limit) return ~to;
    // A match that overlaps its own output repeats it, so it must be copied byte by byte.
    if (length > 32 && offset >= length) output.copyWithin(to, match, match + length);
    else for (let index = 0; index < length; index++) output[to + index] = output[match + index]!;
    to += length;
  }
  return ~to;
}

function endsEarly(): DamagedObjectError {
  return new DamagedObjectError('broken lz4: unexpected end of file');
}

/** Reads a given number of bytes from a stream. */
class ByteReader {
  readonly #source: AsyncIterator<Buffer>;
  #chunk: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async atEnd(): Promise<boolean> {
    while (this.#chunk.length === 0) {
      const next = await this.#source.next();
      if (next.done) return true;
      this.#chunk = next.value;
    }
    return false;
  }

  async take(length: number): Promise<Buffer> {
    const { bytes, whole } = await this.takeUpTo(length);
    if (!whole) throw endsEarly();
    return bytes;
  }

  /** Returns `length` bytes, or the remaining bytes if there are fewer. */
  async takeUpTo(length: number): Promise<{ bytes: Buffer; whole: boolean }> {
    const pieces: Buffer[] = [];
    let missing = length;
    while (missing > 0 && !(await this.atEnd())) {
      const piece = this.#chunk.subarray(0, missing);
      this.#chunk = this.#chunk.subarray(piece.length);
      pieces.push(piece);
      missing -= piece.length;
    }
    return { bytes: pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces), whole: missing === 0 };
  }

  async skip(length: number): Promise<void> {
    for (let missing = length; missing > 0; ) {
      if (await this.atEnd()) throw endsEarly();
      const step = Math.min(missing, this.#chunk.length);
      this.#chunk = this.#chunk.subarray(step);
      missing -= step;
    }
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }
}
