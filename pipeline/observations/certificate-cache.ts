import { hash } from 'node:crypto';
import { MeasurementError } from '../measurement/errors.ts';
import type { Binary } from '../measurement/model.ts';
import { type LeafCertificate, readCertificate } from './certificates.ts';
import { DerError } from './der.ts';
import { decodeBase64 } from './text.ts';

/** About 3 kB each with its base64. The same intermediates come with nearly every measurement, and sites recur. */
const REMEMBERED = 4096;
/** Longer ones (in characters of base64) are not remembered: the largest real ones have 10,000, and hostile ones would fill memory. */
const LONGEST_REMEMBERED = 20_000;

/** A certificate ends with its signature, so this many characters at the end tell one from the other. */
const TELLING = 64;

interface Known<T> {
  readonly base64: string;
  readonly value: T;
}

/**
 * Facts about certificates by their base64, so that a certificate is decoded and hashed once as long as it keeps coming. They are found
 * by the end of the text and then compared: a map of whole texts would walk each to its end for its hash, and again to compare.
 */
export class CertificateCache {
  private readonly leaves = new Map<string, Known<LeafCertificate | null>>();
  private readonly hashes = new Map<string, Known<string | null>>();

  /** Facts of a server's certificate; null when any of them cannot be read. */
  leaf(base64: string): LeafCertificate | null {
    return recall(this.leaves, base64, readLeaf);
  }

  /** SHA-256 of a certificate in hex; null when it is not base64. */
  fingerprint(base64: string): string | null {
    return recall(this.hashes, base64, hashOf);
  }

  /** The certificates in DER; undefined when any of them is not base64. */
  decode(certificates: readonly Binary[]): Buffer[] | undefined {
    const decoded = certificates.map(({ data }) => unlessBroken(() => decodeBase64(data)));
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
  return unlessBroken(() => readCertificate(decodeBase64(base64)));
}

function hashOf(base64: string): string | null {
  return unlessBroken(() => hash('sha256', decodeBase64(base64)));
}

function unlessBroken<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof DerError || error instanceof MeasurementError) return null;
    throw error;
  }
}
