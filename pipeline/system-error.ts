/**
 * Returns whether an error comes from the operating system, as of files and sockets. Checks `syscall`: errors of libraries can have a
 * `code` too.
 */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && error.syscall !== undefined;
}
