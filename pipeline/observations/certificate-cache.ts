import { hash } from 'node:crypto';
import { MeasurementError } from '../measurement/errors.ts';
import type { Binary } from '../measurement/model.ts';
import { type LeafCertificate, readCertificate } from './certificates.ts';
import { DerError } from './der.ts';
import { decodeBase64 } from './text.ts';

/** Maximum number of entries, about 3 kB each with the base64. The same intermediates occur in nearly every measurement, and sites recur. */
const REMEMBERED = 4096;
/** Longer certificates (in characters of base64) are not cached. The largest real ones have 10,000, and hostile ones would fill memory. */
const LONGEST_REMEMBERED = 20_000;

/** A certificate ends with its signature, so this many characters at the end identify it. */
const TELLING = 64;

interface Known<T> {
  readonly base64: string;
  readonly value: T;
}

/**
 * Caches facts about certificates by their base64, so that a recurring certificate is decoded and hashed once. The key is the end
 * of the text, and a hit is compared completely. A map of whole texts would read each text completely for its hash, and again to
 * compare it.
 */
export class CertificateCache {
  readonly #leaves = new Map<string, Known<LeafCertificate | null>>();
  readonly #hashes = new Map<string, Known<string | null>>();

  /** Returns the facts of a server's certificate, or null if any of them cannot be read. */
  leaf(base64: string): LeafCertificate | null {
    return recall(this.#leaves, base64, readLeaf);
  }

  /** Returns the SHA-256 of a certificate in hex, or null if it is not base64. */
  fingerprint(base64: string): string | null {
    return recall(this.#hashes, base64, hashOf);
  }

  /** Returns the certificates in DER, or undefined if any of them is not base64. */
  decode(certificates: readonly Binary[]): Buffer[] | undefined {
    const decoded = certificates.map(({ data }) => nullIfBroken(() => decodeBase64(data)));
    return decoded.every(each => each !== null) ? decoded : undefined;
  }
}

function recall<T>(all: Map<string, Known<T>>, base64: string, read: (base64: string) => T): T {
  const end = base64.slice(-TELLING);
  const known = all.get(end);
  if (known?.base64 === base64) return known.value;
  const value = read(base64);
  if (base64.length > LONGEST_REMEMBERED) return value;
  if (all.size >= REMEMBERED) all.clear();
  all.set(end, { base64, value });
  return value;
}

function readLeaf(base64: string): LeafCertificate | null {
  return nullIfBroken(() => readCertificate(decodeBase64(base64)));
}

function hashOf(base64: string): string | null {
  return nullIfBroken(() => hash('sha256', decodeBase64(base64)));
}

function nullIfBroken<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof DerError || error instanceof MeasurementError) return null;
    throw error;
  }
}
