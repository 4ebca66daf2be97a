import { createHash } from 'node:crypto';
import { MeasurementError } from '../measurement/errors.ts';
import type { Binary } from '../measurement/model.ts';
import { type LeafCertificate, readCertificate } from './certificates.ts';
import { DerError } from './der.ts';
import { decodeBase64 } from './text.ts';

/** About 3 kB each with its base64. The same intermediates come with nearly every measurement, and sites recur. */
const REMEMBERED = 4096;

/** Facts about certificates by their base64, so that a certificate is decoded and hashed once as long as it keeps coming. */
export class CertificateCache {
  private readonly leaves = new Map<string, LeafCertificate | null>();
  private readonly hashes = new Map<string, string>();

  /** Facts of a server's certificate; null when any of them cannot be read. */
  leaf(base64: string): LeafCertificate | null {
    let leaf = this.leaves.get(base64);
    if (leaf === undefined) {
      leaf = readLeaf(base64);
      remember(this.leaves, base64, leaf);
    }
    return leaf;
  }

  /** SHA-256 of each certificate in hex; undefined when any of them is not base64. */
  fingerprints(certificates: readonly Binary[]): string[] | undefined {
    return unlessBroken(() =>
      certificates.map(({ data }) => {
        let hash = this.hashes.get(data);
        if (hash === undefined) {
          hash = createHash('sha256').update(decodeBase64(data)).digest('hex');
          remember(this.hashes, data, hash);
        }
        return hash;
      }),
    );
  }

  /** The certificates in DER; undefined when any of them is not base64. */
  decode(certificates: readonly Binary[]): Buffer[] | undefined {
    return unlessBroken(() => certificates.map(({ data }) => decodeBase64(data)));
  }
}

function remember<T>(known: Map<string, T>, key: string, value: T): void {
  if (known.size >= REMEMBERED) known.clear();
  known.set(key, value);
}

function readLeaf(base64: string): LeafCertificate | null {
  try {
    return readCertificate(decodeBase64(base64));
  } catch (error) {
    if (error instanceof DerError || error instanceof MeasurementError) return null;
    throw error;
  }
}

function unlessBroken<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof MeasurementError) return undefined;
    throw error;
  }
}
