import { existsSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { compareTables } from './compare.ts';
import { DEVIANTS } from './deviants.ts';
import { FIXTURES, SHARED, type Tables } from './expected.ts';
import { regrouped } from './regrouped.ts';
import { compareCorpus } from './suite.ts';

describe('rows equal those of the Python pipeline', () => {
  it('on the fixtures', async () => {
    const report = await compareCorpus(FIXTURES);
    expect(report.unexplained.slice(0, 20)).toEqual([]);
    expect(report.lost).toBeGreaterThan(0);
    // Few rows deviate, so most of the comparison checks equality.
    expect(report.equal).toBeGreaterThan(0.9 * report.compared);
  });

  it('on the fixtures, except for the stored deviating rows that other tests expect (npm run fidelity -- renew)', async () => {
    const stored = gunzipSync(readFileSync(DEVIANTS)).toString().trimEnd().split('\n');
    const { deviants } = await compareCorpus(FIXTURES);
    expect(deviants).toEqual(stored.map(line => JSON.parse(line)));
  });

  it.skipIf(!existsSync(SHARED.expected))('on all available measurements', async () => {
    const report = await compareCorpus(SHARED);
    expect(report.unexplained.slice(0, 20)).toEqual([]);
    // 2,836 lines and 30 scenarios.
    expect(report).toMatchObject({ measurements: 2866, ok: 2858, lost: 8 });
  });
});

describe('rows that are joined differently', () => {
  const shared = { measurement_uid: 'u', probe_cc: 'IT' };
  const dns = { dns_query_type: 'A', dns_answer: '1.1.1.1', hostname: 'a' };
  const tcp = { tcp_success: 1, port: 443, transaction_id: 3 };
  const tls = { tls_server_name: 'b', tls_is_certificate_valid: 1 };
  const row = (observation_idx: number, ...parts: object[]) =>
    Object.assign({ ...shared, observation_idx, ip: '1.1.1.1', hostname: 'b', ip_asn: 1 }, ...parts);
  const theirs = [row(1, dns, tcp, tls)];
  const ours = [row(1, dns), row(2, tcp, tls)];

  it('deviate by `connections` when the parts are the same', () => {
    expect(regrouped(ours, theirs)).toEqual(new Map([['connections', 2]]));
  });

  it('deviate by `host-of-address` when a host name is filled in', () => {
    const nameless = row(2, tcp, { hostname: undefined });
    expect(regrouped([row(1, dns), row(2, tcp, { hostname: 'a' })], [row(1, dns), nameless])).toEqual(
      new Map([['host-of-address', 1]]),
    );
  });

  it.each([
    ['a part is missing', [row(1, dns), row(2, tcp)]],
    ['a part is duplicated', [...ours, row(3, tcp)]],
    ['a part differs', [row(1, dns), row(2, tcp, tls, { tls_is_certificate_valid: 0 })]],
    ['a connect has another endpoint', [row(1, dns), row(2, tcp, tls, { port: 80 })]],
    ['a connect has another id', [row(1, dns), row(2, tcp, tls, { transaction_id: 4 })]],
    ['the row numbers have a gap', [row(1, dns), row(3, tcp, tls)]],
    ['the measurement differs', [row(1, dns), row(2, tcp, tls, { probe_cc: 'US' })]],
    ['the network of an address differs', [row(1, dns), row(2, tcp, tls, { ip_asn: 2 })]],
    ['a host name is invented', [row(1, dns), row(2, tcp, tls, { hostname: 'c' })]],
    ['a lookup is for another host', [row(1, dns, { hostname: 'c' }), row(2, tcp, tls)]],
  ])('have no listed deviation when %s', (_what, rows) => expect(regrouped(rows, theirs)).toBeUndefined());
});

describe('the comparison itself', () => {
  const place = { key: 'k', line: 1, testName: 't' };

  it('detects a column that differs, a missing column, and a missing row', () => {
    const expected: Tables = { obs_web: [{ ip: '1.2.3.4', port: 443 }, { ip: '1.2.3.5' }] };
    const { compared, equal, unexplained } = compareTables(place, { obs_web: [{ ip: '1.2.3.9' }] }, expected);
    expect({ compared, equal }).toEqual({ compared: 2, equal: 0 });
    expect(unexplained.map(each => each.column)).toEqual(['ip', 'port', '*']);
  });

  it('accepts control rows in any order, but not with a wrong index', () => {
    const expected = { obs_web_ctrl: [{ ip: 'b' }, { ip: 'a' }] };
    const rows = (first: number) => ({
      obs_web_ctrl: [
        { ip: 'a', observation_idx: first },
        { ip: 'b', observation_idx: 1 },
      ],
    });
    expect(compareTables(place, rows(0), expected).unexplained).toEqual([]);
    expect(compareTables(place, rows(5), expected).unexplained).not.toEqual([]);
  });
});
