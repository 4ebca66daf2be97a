import { SettingsError } from '../settings.ts';

/** Parts of the URL of ClickHouse's HTTP interface. The password is used in requests only. */
export interface ClickHouseLocation {
  /** `http(s)://host:port`, without user and password, so that it may be shown. */
  readonly url: string;
  readonly database: string;
  readonly username: string;
  readonly password: string;
}

const PORTS: Readonly<Record<string, { scheme: 'http' | 'https'; port: string; native: string }>> = {
  'http:': { scheme: 'http', port: '8123', native: '' },
  'https:': { scheme: 'https', port: '8443', native: '' },
  'clickhouse:': { scheme: 'http', port: '8123', native: '9000' },
  'clickhouses:': { scheme: 'https', port: '8443', native: '9440' },
};

/**
 * Parses `clickhouse_url`: `http(s)://user:password@host:port/database`, or the native driver's `clickhouse(s)://` form. The usual ports of
 * the native form (9000, 9440) are replaced by those of the HTTP interface (8123, 8443). Throws SettingsError, whose message never contains
 * the value, because it may contain a password.
 */
export function parseClickHouseUrl(text: string): ClickHouseLocation {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const kind = url && PORTS[url.protocol];
  if (!url || !kind || !url.hostname) {
    throw new SettingsError(
      `clickhouse_url${url ? ` begins with ${url.protocol}` : ' is not a URL'}; write http://user:password@host:8123/database (or https, clickhouse, clickhouses)`,
    );
  }
  // A `/`, `?` or `#` in a password ends the host, and the rest of the password would be shown as part of an address.
  if (`${url.pathname}${url.search}${url.hash}`.includes('@')) {
    throw new SettingsError(
      'clickhouse_url has an @ behind the host; within a password write / as %2F, ? as %3F, # as %23 and @ as %40',
    );
  }
  refuseParameters(url);
  const path = url.pathname.replace(/^\/+|\/+$/g, '');
  if (path.includes('/'))
    throw new SettingsError('clickhouse_url has a path of several parts; the path is the name of one database');
  // `new URL` drops the standard port of http and https. A written :80 or :443 means a proxy on that port.
  const written = url.port || /^https?:\/\/(?:[^@/]*@)?(?:\[[^\]]*\]|[^:/]+):(\d+)/.exec(text)?.[1] || '';
  const port = written === '' || written === kind.native ? kind.port : written;
  return {
    url: `${kind.scheme}://${url.hostname}:${port}`,
    database: decoded(path) || 'default',
    username: decoded(url.username) || 'default',
    password: decoded(url.password),
  };
}

/** Parameters with which other clients set a user, a password or a database. This URL has them in other places. */
const ELSEWHERE = ['user', 'username', 'password', 'database'];

/** Throws SettingsError for a parameter that would change the user, the database or the encryption, if it were read. */
function refuseParameters({ searchParams }: URL): void {
  const found = ELSEWHERE.find(name => searchParams.has(name));
  if (found) {
    throw new SettingsError(
      `clickhouse_url has the parameter ${found}, which is not read; write http://user:password@host:8123/database`,
    );
  }
  if (/^(1|true|yes)$/i.test(searchParams.get('secure') ?? '')) {
    throw new SettingsError(
      'clickhouse_url has the parameter secure, which is not read; begin with clickhouses:// or https://',
    );
  }
}

/** Decodes a part of a URL. Throws SettingsError for a `%` that does not encode a character. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    throw new SettingsError(
      'clickhouse_url has a % that does not encode a character; within a user or password write it as %25',
    );
  }
}
