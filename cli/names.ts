import { InvalidArgumentError } from 'commander';

/** Longest name of a resource, and longest name of a namespace, in characters (RFC 1123). */
const LONGEST = { resource: 253, namespace: 63 };

/** Parses a text that may be anything but empty. */
export function notEmpty(text: string): string {
  if (text.trim() !== '') return text;
  throw new InvalidArgumentError('It is empty.');
}

/** Returns whether a path begins with the `~` of a home directory, which a shell replaces only at the beginning of a word. */
export function beginsWithTilde(path: string): boolean {
  return /^~(\/|$)/.test(path);
}

/** Remedy for a `~` that the shell did not replace. */
export const TILDE = 'The shell replaces ~ only at the beginning of a word; write $HOME instead.';

/** Parses the path of a file or a directory. */
export function path(text: string): string {
  if (beginsWithTilde(notEmpty(text))) throw new InvalidArgumentError(TILDE);
  return text;
}

/** Parses the name of a Kubernetes resource. */
export function resourceName(text: string): string {
  if (text.length <= LONGEST.resource && /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(text)) return text;
  throw new InvalidArgumentError(
    'A name has lower-case letters, digits, - and ., and begins and ends with a letter or digit.',
  );
}

/** Parses the name of a namespace. */
export function namespaceName(text: string): string {
  if (text.length <= LONGEST.namespace && /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(text)) return text;
  throw new InvalidArgumentError('A namespace has lower-case letters, digits and -, such as ooni-system.');
}

/** Parses a duration as kubectl takes it, such as 10m or 1h30m. */
export function durationText(text: string): string {
  if (/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return text;
  throw new InvalidArgumentError('Write a duration such as 30s, 10m or 2h.');
}
