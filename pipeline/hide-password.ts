const SCHEME = /^\s*[a-z][a-z0-9+.-]*:\/*/i;
const SECRET_PARAMETER = /([?&;#][^=&;#]*(?:pass|pwd|secret|token|signature|credential|key)[^=&;#]*=)[^&]*/gi;

/**
 * Replaces the secrets of a URL by `***`: the password, a user without a password (it may be a token), and parameters whose names suggest a
 * secret. People write passwords with `@`, `/` and other characters that have another meaning in a URL, so everything up to the last `@`
 * counts as user and password: hiding too much is better than hiding too little.
 */
export function hidePassword(url: string): string {
  const at = url.lastIndexOf('@');
  const scheme = SCHEME.exec(url)?.[0] ?? '';
  const user = url.slice(scheme.length, Math.max(at, scheme.length));
  const rest = url.slice(Math.max(at, scheme.length));
  const colon = user.indexOf(':');
  let shown = user;
  if (colon >= 0) shown = `${user.slice(0, colon)}:***`;
  else if (user !== '' && !/[/?#]/.test(user)) shown = '***';
  return `${scheme}${shown}${rest}`.replace(SECRET_PARAMETER, '$1***');
}

/** Applies `hidePassword` to each URL in a text. */
export function hidePasswords(text: string): string {
  return text.replace(/[a-z][a-z0-9+.-]*:\/\/\S+/gi, hidePassword);
}
