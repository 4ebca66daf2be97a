import type { Archive } from '../../../pipeline/archive/archive.ts';
import { readDocuments } from '../../../pipeline/archive/documents.ts';
import type { ArchiveFile } from '../../../pipeline/archive/keys.ts';
import { EVERYTHING } from '../../../pipeline/filter.ts';
import { Transformer } from '../../../pipeline/observations/transformer.ts';
import type { HttpFingerprints } from '../../../pipeline/reference/http-fingerprints.ts';
import type { IpMetadata } from '../../../pipeline/reference/ip-metadata.ts';
import { FLUSH_BYTES } from '../../../pipeline/runs/batch.ts';
import { RowEncoder } from '../../../pipeline/tables/encoder.ts';
import { OBSERVATION_TABLES } from '../../../pipeline/tables/schema.ts';
import { BUCKET } from './inputs.ts';

export interface Made {
  measurements: number;
  rows: number;
  /** Bytes of RowBinary. */
  bytes: number;
}

/** Runs the observation path up to encoded rows, as for a batch, and drops the rows. No state is kept between calls. */
export async function encode(
  archive: Archive,
  files: readonly ArchiveFile[],
  ipMetadata: IpMetadata,
  httpFingerprints?: HttpFingerprints,
): Promise<Made> {
  const encoder = new RowEncoder();
  const facts = { bucket: BUCKET, generation: 1, createdAt: 1, httpFingerprints };
  const transformer = new Transformer({ ...facts, filter: EVERYTHING, ipMetadata, encoder });
  const made: Made = { measurements: 0, rows: 0, bytes: 0 };
  for (const file of files) {
    for await (const documents of readDocuments(archive, file, { maxMeasurementBytes: 32 * 1024 * 1024 })) {
      for (const document of documents) {
        transformer.transform(document, file.key);
        made.measurements++;
        if (encoder.size >= FLUSH_BYTES) take(encoder, made);
      }
    }
  }
  take(encoder, made);
  return made;
}

function take(encoder: RowEncoder, made: Made): void {
  for (const { name } of OBSERVATION_TABLES) {
    const block = encoder.take(name);
    made.rows += block?.rows ?? 0;
    made.bytes += block?.bytes.length ?? 0;
  }
}
