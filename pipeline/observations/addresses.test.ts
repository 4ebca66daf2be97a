import { describe, expect, it } from 'vitest';
import { splitEndpoint, urlHost } from './addresses.ts';
import { normaliseFailure } from './failures.ts';
import { targetId } from './targets.ts';
import { bytesToText, decodeBase64 } from './text.ts';

describe('splitEndpoint (observations.md section 6.1)', () => {
  it.each([
    ['1.2.3.4:443', '1.2.3.4', 443],
    ['1.2.3.4:', '1.2.3.4', null],
    ['1.2.3.4', '1.2.3.4', null],
    ['[2001:DB8::1]:443', '2001:db8::1', 443],
    ['[2001:db8::1]', '2001:db8::1', null],
    ['[FE80::1%Eth0]:80', 'fe80::1%Eth0', 80],
    ['[scrubbed]:443', 'scrubbed', 443],
    ['Example.COM:0', 'example.com', 0],
    ['user:pass@example.com:80', 'example.com', 80],
    ['1.2.3.4:65535/path', '1.2.3.4', 65535],
    ['', null, null],
  ])('%s', (address, host, port) => {
    expect(splitEndpoint(address)).toEqual({ host, port });
  });

  it.each([
    '2001:db8::1:443',
    '1.2.3.4:65536',
    '1.2.3.4:-1',
    '1.2.3.4:http',
    '1.2.3.4:٣',
    '[2001:db8::1:443',
    '::1]:443',
  ])('rejects %s', address => {
    expect(() => splitEndpoint(address)).toThrow(address);
  });
});

describe('urlHost (section 13.1)', () => {
  it.each([
    ['https://example.com/x', 'example.com'],
    ['HTTPS://User:Pass@EXAMPLE.com:8443/x?y#z', 'example.com'],
    ['http://[2001:DB8::1]:80/', '2001:db8::1'],
    ['https://www.ПРИМЕР.рф/', 'www.пример.рф'],
    ['http://a_b..c/', 'a_b..c'],
    ['dnslookup://example.com?x', 'example.com'],
    ['//example.com/x', 'example.com'],
    ['  \u0001http://exa\nmple.com/', 'example.com'],
    ['example.com/x', ''],
    ['mailto:someone@example.com', ''],
    ['1http://example.com/', ''],
    ['http:///path', ''],
    ['', ''],
  ])('host of %j is "%s"', (url, host) => {
    expect(urlHost(url)).toBe(host);
  });

  it.each(['http://[::1/', 'http://::1]/'])('rejects %s', url => {
    expect(() => urlHost(url)).toThrow('bracket');
  });
});

describe('normaliseFailure (section 5)', () => {
  it.each([
    [null, null],
    ['', null],
    [false, null],
    [true, 'true'],
    ['connection_reset', 'connection_reset'],
    ['unknown_failure: dial tcp: connect: network is unreachable', 'network_unreachable'],
    // The order matters: ": read: connection refused" comes before "read: connection refused"; both have the same result.
    ['unknown_failure: x: read: connection refused', 'connection_refused'],
    [
      'unknown_failure: wsarecv: Se ha forzado la interrupción de una conexión existente por el host remoto.',
      'connection_reset',
    ],
    ['unknown_failure: something else', 'unknown_failure: something else'],
    ['x unknown_failure: connect: no route to host', 'x unknown_failure: connect: no route to host'],
    ['unknown_failure: CONNECT: NO ROUTE TO HOST', 'unknown_failure: CONNECT: NO ROUTE TO HOST'],
  ])('%j becomes %j', (failure, expected) => {
    expect(normaliseFailure(failure)).toBe(expected);
  });
});

describe('targetId (section 11)', () => {
  it.each([
    ['telegram', 'web.telegram.org', null, 'telegram/web'],
    ['telegram', null, '149.154.175.50', 'telegram/dc_pool'],
    ['telegram', '2001:67c:4e8:f002::a', null, 'telegram/dc_pool'],
    ['telegram', 'example.org', '149.154.175.50', null],
    ['whatsapp', 'e16.whatsapp.net', '1.2.3.4', 'whatsapp/endpoints'],
    ['whatsapp', 'e.whatsapp.net', null, null],
    ['whatsapp', null, '1.2.3.4', null],
    ['signal', 'cdn.signal.org', null, 'signal/cdn'],
    ['signal', 'cdn3.signal.org', null, 'signal/cdn'],
    ['signal', 'textsecure-service.whispersystems.org', null, 'signal/chat'],
    ['facebook_messenger', 'stun.fbsbx.com', null, 'facebook_messenger/stun'],
    ['facebook_messenger', '', '', null],
  ] as const)('%s %j %j is %j', (platform, hostname, ip, expected) => {
    expect(targetId(platform, hostname, ip)).toBe(expected);
  });
});

describe('base64 and text (sections 13.2 and 13.3)', () => {
  it.each([
    ['aGk=', 'hi'],
    ['aG\nk=', 'hi'],
    ['aGk-_=', 'hi'],
    ['aGk=aGk=', 'hi'],
    ['', ''],
    ['!', ''],
  ])('%j decodes to %j', (text, expected) => {
    expect(decodeBase64(text).toString()).toBe(expected);
  });

  it.each(['aGk', 'a', 'aGkxa', 'a===', 'aGk=é'])('%j does not decode', text => {
    expect(() => decodeBase64(text)).toThrow('base64');
  });

  it('decodes bytes as UTF-8, or as Latin-1 if they are not UTF-8', () => {
    expect(bytesToText(Buffer.from('é'))).toBe('é');
    expect(bytesToText(Buffer.from([0xe9]))).toBe('é');
  });
});
