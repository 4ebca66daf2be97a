import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { EVERYTHING } from '../filter.ts';
import { openIpMetadata } from '../reference/ip-metadata.ts';
import { RowEncoder } from '../tables/encoder.ts';
import { OBSERVATION_TABLES } from '../tables/schema.ts';
import { type Outcome, Transformer } from './transformer.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const MB = 1e6;
const TIMES = 40;
const plain = {
  input: null,
  report_id: '',
  measurement_start_time: '2024-01-01 00:00:00',
  test_start_time: '',
  probe_asn: 'AS1',
  probe_cc: 'IT',
  test_name: 'telegram',
  test_version: '',
  test_runtime: 1,
  software_name: '',
  software_version: '',
  test_keys: { failure: null },
};
const keys = (value: object) => ({ test_keys: value });
/** A text of a megabyte, different each time, in a field that becomes part of a message, a uid or a cache. */
const HOSTILE: Record<string, (long: string) => object> = {
  'a number': long => ({ test_runtime: long }),
  'a time': long => ({ measurement_start_time: long }),
  'an ASN': long => ({ probe_asn: long }),
  'a uid': long => ({ measurement_uid: long }),
  'a name of a test': long => ({ test_name: long, test_runtime: 'x' }),
  'an address that cannot be split': long => keys({ tls_handshakes: [{ address: `[::1${long}` }] }),
  'an address': long => keys({ tls_handshakes: [{ address: `${long}:443` }] }),
  'a zone': long => keys({ tcp_connect: [{ ip: `fe80::1%${long}`, port: 1, status: { success: true } }] }),
  'a URL': long => keys({ requests: [{ request: { url: `http://[${long}` } }] }),
  'a certificate': long => keys({ tls_handshakes: [{ peer_certificates: [{ format: 'base64', data: long }] }] }),
};

it.each(Object.entries(HOSTILE))(
  'nothing is kept of a measurement that has a megabyte in place of %s',
  (_what, make) => {
    const encoder = new RowEncoder();
    const facts = { bucket: '2024-01-01', generation: 1, createdAt: 1, filter: EVERYTHING };
    const transformer = new Transformer({ ...facts, ipMetadata: openIpMetadata(undefined), encoder });
    const outcomes: Outcome[] = [];
    const read = (number: number) => {
      const document = { ...plain, ...make(String(number).padEnd(MB, 'x')) };
      outcomes.push(transformer.transform({ line: number, bytes: Buffer.from(JSON.stringify(document)) }, 'key'));
      for (const { name } of OBSERVATION_TABLES) encoder.take(name);
    };
    read(0);
    collectGarbage();
    const before = process.memoryUsage().heapUsed;
    for (let number = 1; number <= TIMES; number++) read(number);
    collectGarbage();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan((TIMES * MB) / 4);
    for (const { uid = '', testName = '', error } of outcomes) {
      expect(Math.max(uid.length, testName.length, error?.message.length ?? 0)).toBeLessThanOrEqual(200);
    }
  },
);
