import { describe, expect, test } from 'vitest';
import { openArchive } from './archive/open.ts';
import { hidePassword, hidePasswords } from './hide-password.ts';
import { readFiles, readSource } from './reference/source.ts';
import { loadSettings, publicSettings } from './settings.ts';
import { openClickHouse } from './tables/clickhouse.ts';

test.each([
  ['http://u:p@h', 'http://u:***@h'],
  ['http://u:p@ss@h', 'http://u:***@h'],
  ['http://u:p@ss@h:8123/db?x=1', 'http://u:***@h:8123/db?x=1'],
  ['clickhouses://u:p:/w@host:9440', 'clickhouses://u:***@host:9440'],
  ['http://u:1/w@host', 'http://u:***@host'],
  ['http://u:p?q#r@host', 'http://u:***@host'],
  ['https://ghp_token@github.com/x.csv', 'https://***@github.com/x.csv'],
  ['https://host/x.csv?version=2&access_token=abc', 'https://host/x.csv?version=2&access_token=***'],
  ['https://host/x?X-Amz-Signature=abc&X-Amz-Date=1', 'https://host/x?X-Amz-Signature=***&X-Amz-Date=1'],
  ['u:p@host:8123', 'u:***@host:8123'],
  ['http:/u:p@h', 'http:/u:***@h'],
  ['http://host:8123/database', 'http://host:8123/database'],
  ['https://host/path@2024/x.csv', 'https://host/path@2024/x.csv'],
  ['embedded:/data/dir', 'embedded:/data/dir'],
  ['/a/path', '/a/path'],
  ['', ''],
])('%s is shown as %s', (url, shown) => {
  expect(hidePassword(url)).toBe(shown);
});

test('URLs within a text are shown without passwords', () => {
  expect(hidePasswords('cannot reach "http://u:p@ss@h/x", nor https://h/y (a@b)')).toBe(
    'cannot reach "http://u:***@h/x", nor https://h/y (a@b)',
  );
});

describe('a password with odd characters', () => {
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff;
    return (seed >> 8) % below;
  };
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  const ODD = [
    '@',
    ':',
    '/',
    '?',
    '#',
    '%',
    '%40',
    '%zz',
    '&',
    '=',
    '[',
    ']',
    '\\',
    "'",
    '"',
    '<',
    'é',
    '🦉',
    '1',
    ';',
    ',',
    '|',
    '^',
    '..',
  ];
  const SCHEMES = ['http', 'https', 'clickhouse', 'clickhouses', 's3', 'ftp', 'HTTP'];

  /** A URL whose password contains two markers, neither of which may be shown. */
  const urlWithPassword = () => {
    const odd = () => Array.from({ length: random(4) }, () => pick(ODD)).join('');
    return `${pick(SCHEMES)}:${pick(['//', '//', '//', '/', '///', ''])}user:${odd()}hunter${odd()}xyzzy${odd()}@host${pick(['', ':8123', ':x'])}${pick(['', '/db', '/a/b', '?q=1'])}`;
  };
  const secret = /hunter|xyzzy/;

  test('is not in a URL that is shown, with or without text around it', () => {
    for (let round = 0; round < 3000; round++) {
      const url = urlWithPassword();
      expect(hidePassword(url), url).not.toMatch(secret);
      if (/^[a-z0-9]+:\/\//i.test(url)) expect(hidePasswords(`"${url}": wrong`), url).not.toMatch(secret);
    }
  });

  test('is not in a message or a setting that is shown', async () => {
    const messages = async (work: () => unknown) => {
      try {
        const result = await work();
        return typeof result === 'string' ? result : '';
      } catch (error) {
        expect((error as Error).name).toMatch(/^(SettingsError|ReferenceDataError)$/);
        return (error as Error).message;
      }
    };
    const settings = [
      'CLICKHOUSE_URL',
      'ARCHIVE_URL',
      'ARCHIVE_ENDPOINT',
      'FINGERPRINTS_DNS_SOURCE',
      'TEMPORAL_UI_URL',
      'TELEMETRY_ENDPOINT',
    ];
    for (let round = 0; round < 300; round++) {
      const url = urlWithPassword();
      for (const name of settings) {
        const shown = await messages(() => JSON.stringify(publicSettings(loadSettings({ [name]: url }))));
        expect(shown, `${name}=${url}`).not.toMatch(secret);
      }
      // A value without `//` names a directory.
      if (/^[a-z0-9]+:\/\//i.test(url))
        expect(await messages(() => openArchive(loadSettings({ ARCHIVE_URL: url })).url), url).not.toMatch(secret);
      expect(await messages(() => openClickHouse({ clickhouse_url: url }).name), url).not.toMatch(secret);
    }
    const gone = AbortSignal.timeout(20_000);
    for (const password of ['hunter', 'hun@ter:xyzzy', 'p%40hunter', '%zzhunter']) {
      for (const url of [`http://u:${password}@127.0.0.1:1/x.csv`, `https://u:${password}@127.0.0.1:1/x`]) {
        expect(await messages(() => readSource(url, gone)), url).not.toMatch(secret);
        expect(await messages(() => readFiles(url, '.csv', gone)), url).not.toMatch(secret);
      }
    }
  });
});
