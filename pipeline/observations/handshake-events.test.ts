import { describe, expect, it } from 'vitest';
import type { NetworkEvent, TlsHandshake } from '../measurement/model.ts';
import { handshakeFacts, indexEvents } from './handshake-events.ts';

const event = (operation: string, t: number, more: Partial<NetworkEvent> = {}) =>
  ({ operation, t, ...more }) as NetworkEvent;
const handshake = (more: Partial<TlsHandshake>) => more as TlsHandshake;
const times = (events: readonly NetworkEvent[] | undefined) => events?.map(each => each.t);

describe('windows, when events have no transaction id (observations.md section 6.4)', () => {
  const events = [
    event('read', 0.1),
    event('connect', 1),
    event('write', 2),
    event('connect', 3),
    event('write', 4),
    event('tls_handshake_done', 5),
    event('read', 6),
    event('tls_handshake_done', 7),
    event('connect', 8),
    event('tls_handshake_done', 5),
  ];

  it('span from connect to tls_handshake_done; a second connect drops the open window', () => {
    expect(times(indexEvents(events).of(handshake({ t: 7 }), 0))).toEqual([7]);
    expect(indexEvents(events).of(handshake({ t: 6 }), 0)).toBeUndefined();
    expect(indexEvents(events).of(handshake({}), 0)).toBeUndefined();
  });

  it('are selected by position when several end at the same time', () => {
    expect(times(indexEvents(events).of(handshake({ t: 5 }), 0))).toEqual([3, 4, 5]);
    expect(indexEvents(events).of(handshake({ t: 5 }), 1)).toBeUndefined();
    expect(times(indexEvents(events).of(handshake({ t: 5 }), 2))).toEqual([8, 5]);
    expect(indexEvents(events).of(handshake({ t: 5 }), 9)).toBeUndefined();
  });

  it('are undefined without events', () => {
    expect(indexEvents([]).of(handshake({ t: 5 }), 0)).toBeUndefined();
    expect(indexEvents(null).of(handshake({ t: 5 }), 0)).toBeUndefined();
  });
});

describe('events with transaction ids', () => {
  const events = [
    event('connect', 3, { transaction_id: 1, address: 'a:1' }),
    event('write', 2, { transaction_id: 2, address: 'b:1' }),
    event('write', 1, { transaction_id: 1, address: 'a:1' }),
  ];

  it('are those of the handshake, sorted by time', () => {
    expect(times(indexEvents(events).of(handshake({ transaction_id: 1, address: 'a:1' }), 0))).toEqual([1, 3]);
  });

  it('are undefined when there are none, or when they have another address', () => {
    expect(indexEvents(events).of(handshake({ transaction_id: 9, address: 'a:1' }), 0)).toBeUndefined();
    expect(indexEvents(events).of(handshake({ transaction_id: 2, address: 'a:1' }), 0)).toBeUndefined();
  });
});

describe('handshakeFacts', () => {
  it('counts operations with bytes; a write without bytes can be the last operation', () => {
    const events = [
      event('connect', 1),
      event('write', 1.5, { num_bytes: 100 }),
      event('read', 2, { num_bytes: 30 }),
      event('read', 2.5, { num_bytes: 0 }),
      event('write', 3),
    ];
    expect(handshakeFacts(events)).toEqual({
      handshake_read_count: 1,
      handshake_write_count: 1,
      handshake_read_bytes: 30,
      handshake_write_bytes: 100,
      handshake_last_operation: 'write_1',
      handshake_time: 2,
    });
  });

  it('has no last operation without reads and writes', () => {
    expect(handshakeFacts([event('connect', 1)]).handshake_last_operation).toBeNull();
  });
});
