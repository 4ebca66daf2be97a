import { readFileSync } from 'node:fs';
import type { OperatorService } from '@temporalio/client';
import { type Settings, SettingsError } from '../pipeline/settings.ts';

/** Settings of the connection to Temporal. */
export type TemporalSettings = Pick<
  Settings,
  | 'temporal_address'
  | 'temporal_namespace'
  | 'temporal_tls_client_cert_path'
  | 'temporal_tls_client_key_path'
  | 'temporal_tls_server_ca_path'
  | 'temporal_api_key'
>;

/** Options that the SDK's client and its worker share. */
export interface ServerOptions {
  readonly address: string;
  readonly tls?: {
    readonly serverRootCACertificate?: Buffer;
    readonly clientCertPair?: { readonly crt: Buffer; readonly key: Buffer };
  };
  readonly apiKey?: string;
}

/** temporal.api.enums.v1.IndexedValueType */
const KEYWORD = 2;
/** gRPC status code (grpc.io/docs/guides/status-codes). */
const ALREADY_EXISTS = 6;

/**
 * Returns address, TLS certificates and API key of the Temporal server. It reads the files at each call, so that a new connection uses
 * rotated certificates. A CA certificate, a client certificate or an API key turns TLS on. Throws SettingsError for an unreadable file.
 */
export function serverOptions(settings: TemporalSettings): ServerOptions {
  const crt = readSetting(settings, 'temporal_tls_client_cert_path');
  const key = readSetting(settings, 'temporal_tls_client_key_path');
  const ca = readSetting(settings, 'temporal_tls_server_ca_path');
  const secure = crt || ca || settings.temporal_api_key;
  return {
    address: settings.temporal_address,
    ...(secure && {
      tls: { ...(ca && { serverRootCACertificate: ca }), ...(crt && key && { clientCertPair: { crt, key } }) },
    }),
    ...(settings.temporal_api_key && { apiKey: settings.temporal_api_key }),
  };
}

function readSetting(
  settings: TemporalSettings,
  key: 'temporal_tls_client_cert_path' | 'temporal_tls_client_key_path' | 'temporal_tls_server_ca_path',
): Buffer | undefined {
  const path = settings[key];
  if (!path) return undefined;
  try {
    return readFileSync(path);
  } catch (error) {
    throw new SettingsError(`${key} = ${path} cannot be read: ${(error as NodeJS.ErrnoException).code}`, {
      cause: error,
    });
  }
}

/**
 * Adds the search attributes (Keyword) that a namespace lacks and returns their names. Several programs may call it at once: an attribute
 * that exists by then is not an error. Throws the errors of the SDK; Temporal Cloud rejects this request.
 */
export async function registerSearchAttributes(
  service: OperatorService,
  namespace: string,
  names: readonly string[],
): Promise<readonly string[]> {
  if (names.length === 0) return [];
  const { customAttributes } = await service.listSearchAttributes({ namespace });
  const missing = names.filter(name => !(name in (customAttributes ?? {})));
  if (missing.length === 0) return [];
  const searchAttributes = Object.fromEntries(missing.map(name => [name, KEYWORD]));
  try {
    await service.addSearchAttributes({ namespace, searchAttributes });
  } catch (error) {
    const { code, message } = error as { code?: number; message?: string };
    if (code === ALREADY_EXISTS || /already exists/i.test(message ?? '')) return [];
    throw error;
  }
  return missing;
}
