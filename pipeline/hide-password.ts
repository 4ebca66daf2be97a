const SCHEME = /^\s*[a-z][a-z0-9+.-]*:\/*/i;
const SECRET_PARAMETER = /([?&;#][^=&;#]*(?:pass|pwd|secret|token|signature|credential|key)[^=&;#]*=)[^&]*/gi;

/**
 * A URL as it may be shown: the password is `***`, and so is a user without one, which may be a token, and a parameter whose name speaks of a
 * secret. People write passwords with `@`, `/` and other characters that belong elsewhere in a URL, so all up to the last `@` counts as
 * user and password: rather too much is hidden than too little.
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

/** A text in which each URL is as `hidePassword` shows it. */
export function hidePasswords(text: string): string {
  return text.replace(/[a-z][a-z0-9+.-]*:\/\/\S+/gi, hidePassword);
}
