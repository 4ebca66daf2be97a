import { hidePassword, hidePasswords } from '../../pipeline/hide-password.ts';
import { SECRET_KEYS } from '../../pipeline/settings.ts';

const SECRET_NAME = /pass|secret|token|credential|private|api_?key|access_?key|authorization/i;
const SECRET_VARIABLES = new Set(SECRET_KEYS.map(key => key.toUpperCase()));

/**
 * Returns a value for a bug report: texts under a name that suggests a secret, and values of environment variables that hold one, become
 * `***`; URLs lose their passwords. References to Secrets keep their names.
 */
export function redacted(value: unknown, name = ''): unknown {
  if (typeof value === 'string') {
    if (SECRET_NAME.test(name) && !/(Ref|Name)$/.test(name)) return '***';
    return hidePasswords(hideUrl(value));
  }
  if (Array.isArray(value)) return value.map(each => redacted(each, name));
  if (typeof value !== 'object' || value === null) return value;
  const { name: variable, value: text } = value as { name?: unknown; value?: unknown };
  const isSecretVariable =
    typeof variable === 'string' &&
    typeof text === 'string' &&
    (SECRET_VARIABLES.has(variable.toUpperCase()) || SECRET_NAME.test(variable));
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [
      key,
      isSecretVariable && key === 'value' ? '***' : redacted(each, key),
    ]),
  );
}

/** Hides the password of a text that is a URL as a whole, also one with blanks in the password. */
function hideUrl(text: string): string {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? hidePassword(text) : text;
}
