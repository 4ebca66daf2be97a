import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadSettings, mistypedVariables, publicSettings, SECRET_KEYS, SettingsError } from './settings.ts';

function configFile(content: string): string {
  const file = join(mkdtempSync(join(tmpdir(), 'settings-')), 'config.toml');
  writeFileSync(file, content);
  return file;
}

describe('settings', () => {
  it('has the defaults of the spec', () => {
    const settings = loadSettings({});
    expect(settings.clickhouse_write_batch_size).toBe(200_000);
    expect(settings.temporal_address).toBe('localhost:7233');
  });

  it('prefers the environment over the file, and treats an empty variable as unset', () => {
    const CONFIG_FILE = configFile('temporal_address = "file:7233"\nclickhouse_write_batch_size = 5\n');
    const settings = loadSettings({ CONFIG_FILE, TEMPORAL_ADDRESS: 'env:7233', CLICKHOUSE_WRITE_BATCH_SIZE: '' });
    expect(settings.temporal_address).toBe('env:7233');
    expect(settings.clickhouse_write_batch_size).toBe(5);
  });

  it('rejects unknown keys of a file by name', () => {
    expect(() => loadSettings({ CONFIG_FILE: configFile('temporal_adress = "x"\n') })).toThrow(
      /unknown setting "temporal_adress" \(did you mean temporal_address\?\)/,
    );
  });

  it('rejects a missing file and broken TOML', () => {
    expect(() => loadSettings({ CONFIG_FILE: '/nowhere/config.toml' })).toThrow(/does not exist/);
    expect(() => loadSettings({ CONFIG_FILE: configFile('a = ') })).toThrow(/not TOML/);
  });

  it('names the variable, the value and the problem', () => {
    for (const [name, value, problem] of [
      ['WORKER_SLOTS', 'many', 'must be a number'],
      ['WORKER_SLOTS', '2.5', 'must be a whole number'],
      ['WORKER_SLOTS', '-1', 'must be 1 or more'],
      ['MAX_FAILED_SHARE', '20', 'must be 1 or less'],
      ['LOG_LEVEL', 'INFO', 'must be one of trace, debug, info, warn, error, fatal'],
    ] as const) {
      expect(() => loadSettings({ [name]: value })).toThrow(`${name} = "${value}": ${problem}`);
    }
    expect(() => loadSettings({ CONFIG_FILE: configFile('archive_url = 5\n') })).toThrow(/must be a text in quotes/);
    expect(() => loadSettings({ WORKER_TASKS: 'Sleeping' })).toThrow(/Workflows, Activities or both/);
    expect(() => loadSettings({ INSTALLATION: 'OONI!' })).toThrow(/INSTALLATION/);
    for (const endpoint of ['minio:9000', 'http://', 'the endpoint http://minio:9000']) {
      expect(() => loadSettings({ ARCHIVE_ENDPOINT: endpoint })).toThrow(/ARCHIVE_ENDPOINT = ".*must be a URL such as/);
    }
    expect(loadSettings({ ARCHIVE_ENDPOINT: 'http://minio:9000' }).archive_endpoint).toBe('http://minio:9000');
  });

  it('finds variables that are mistyped settings', () => {
    const env = {
      CLICKHOUSE_ULR: 'x',
      archive_url: 'x',
      CLICKHOUSE_URL: 'x',
      CLICKHOUSE_USER: 'x',
      PATH: 'x',
      CONFIG_FILE: '',
    };
    expect(mistypedVariables(env)).toEqual({ CLICKHOUSE_ULR: 'CLICKHOUSE_URL', archive_url: 'ARCHIVE_URL' });
  });

  it('takes host:port as the address of Temporal, and rejects URLs and impossible ports', () => {
    for (const address of [
      'http://127.0.0.1:7233',
      '127.0.0.1:99999',
      'temporal:0',
      'temporal:',
      'a b:7233',
      ':7233',
    ]) {
      expect(() => loadSettings({ TEMPORAL_ADDRESS: address })).toThrow(
        `TEMPORAL_ADDRESS = "${address}": must be host:port`,
      );
    }
    for (const address of ['temporal', 'temporal:7233', '[::1]:7233', 'ns.a1b2.tmprl.cloud:7233']) {
      expect(loadSettings({ TEMPORAL_ADDRESS: address }).temporal_address).toBe(address);
    }
  });

  it('rejects one of two settings that go together', () => {
    expect(() => loadSettings({ TEMPORAL_TLS_CLIENT_CERT_PATH: 'x' })).toThrow(SettingsError);
    expect(() => loadSettings({ ARCHIVE_ACCESS_KEY_ID: 'x' })).toThrow(/go together/);
  });

  it('shows no secret when it prints settings or rejects them', () => {
    const env = {
      CLICKHOUSE_URL: 'http://user:hunter2@host:8123/db',
      TEMPORAL_API_KEY: 'hunter2',
      ARCHIVE_ACCESS_KEY_ID: 'hunter2',
      ARCHIVE_SECRET_ACCESS_KEY: 'hunter2',
    };
    const shown = publicSettings(loadSettings(env));
    expect(JSON.stringify(shown)).not.toContain('hunter2');
    expect(shown.clickhouse_url).toBe('http://user:***@host:8123/db');
    expect(SECRET_KEYS).toContain('temporal_api_key');
  });

  it('parses lists and flags from text', () => {
    const settings = loadSettings({
      WORKER_TASKS: 'Activities',
      OPERATOR_NAMESPACES: 'a, b',
      ARCHIVE_PATH_STYLE: 'true',
    });
    expect(settings.worker_tasks).toEqual(['Activities']);
    expect(settings.operator_namespaces).toEqual(['a', 'b']);
    expect(settings.archive_path_style).toBe(true);
  });
});
