import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Connection, Connections } from './connections.ts';
import type { DnsObservation } from './dns.ts';
import type { HttpObservation } from './http.ts';
import type { TcpObservation } from './tcp.ts';
import type { TlsObservation } from './tls.ts';

const id = fc.constantFrom(null, undefined, 0, 1, 2, 3);
const ip = fc.constantFrom('1.1.1.1', '2.2.2.2', '2001:db8::1');
const port = fc.constantFrom(80, 443);
const host = fc.constantFrom('', 'a.example', 'b.example');
const ids = { transaction_id: id, conn_id: id };
const tcp = fc.record({ ip, port, ...ids });
const tls = fc.record({ ip: fc.option(ip), port: fc.option(port), server_name: host, ...ids });
const http = fc.record({ ip: fc.option(ip), port: fc.option(port), hostname: host, transaction_id: id });
const dns = fc.record({
  answer: fc.option(ip),
  hostname: fc.constantFrom('a.example', 'b.example'),
  transaction_id: id,
});

const lists = (maxLength: number) =>
  fc.record({
    tcp: fc.array(tcp, { maxLength }),
    tls: fc.array(tls, { maxLength }),
    http: fc.array(http, { maxLength }),
    dns: fc.array(dns, { maxLength }),
  });
const untaken = <T>(all: readonly object[]) => all.map(each => ({ ...each, taken: false })) as T[];

/** Reports whether ids or endpoints show that two observations are of different connections. */
function contradict(a: TcpObservation | TlsObservation, b: TlsObservation | HttpObservation): boolean {
  const [one, other] = [a, b as TlsObservation];
  const apart = (x: unknown, y: unknown) => Boolean(x && y) && x !== y;
  if (one.transaction_id && other.transaction_id) return apart(one.transaction_id, other.transaction_id);
  return apart(one.conn_id, other.conn_id);
}

describe('Connections', () => {
  // Lists of up to 32 are scanned, longer lists use an index.
  it.each([8, 100])('contain each observation once and follow the ids, in lists of up to %d', size => {
    fc.assert(
      fc.property(lists(size), given => {
        const all = {
          tcp: untaken<TcpObservation>(given.tcp),
          tls: untaken<TlsObservation>(given.tls),
          http: untaken<HttpObservation>(given.http),
        };
        const connections = new Connections(all.tcp, all.tls, all.http);
        const parts = connections.all.flatMap(({ tcp, tls, http }) => [tcp, tls, http]).filter(each => each !== null);
        expect(new Set(parts).size).toBe(parts.length);
        expect(parts.length).toBe(all.tcp.length + all.tls.length + all.http.length);
        for (const { tcp, tls, http } of connections.all) {
          if (tcp && tls) expect(contradict(tcp, tls)).toBe(false);
          if (tls && http && !tcp) expect(contradict(tls, http)).toBe(false);
          if (tcp && http && !tls) expect(contradict(tcp, http)).toBe(false);
        }
        const found: Connection[] = [];
        for (const each of given.dns as DnsObservation[]) {
          const connection = connections.takeFor(each);
          if (!connection) continue;
          found.push(connection);
          const { tcp, tls, http } = connection;
          expect(tcp?.ip || tls?.ip || http?.ip).toBe(each.answer);
          expect(['', undefined, each.hostname]).toContain(tls?.server_name || http?.hostname);
        }
        expect(new Set(found).size).toBe(found.length);
      }),
    );
  });

  it('take less than quadratic time', () => {
    const many = (more: (i: number) => object) =>
      Array.from({ length: 100_000 }, (_, i) => ({ ip: '1.1.1.1', port: i, taken: false, ...more(i) }));
    const same = () => ({ transaction_id: 1, server_name: 'a.example' });
    const tcps = many(same) as never as TcpObservation[];
    const tlss = many(i => ({ ...same(), port: -i - 1 })) as never as TlsObservation[];
    const connections = new Connections(tcps, tlss, []);
    const query = { answer: '1.1.1.1', hostname: 'b.example', transaction_id: 1 } as DnsObservation;
    for (let i = 0; i < 100_000; i++) connections.takeFor(query);
    expect(connections.all.length).toBe(200_000);
  });
});
