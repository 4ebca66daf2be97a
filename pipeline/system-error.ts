/** Whether an error is the operating system's, as of files and sockets. A `code` alone says nothing: errors of libraries bear one, too. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && error.syscall !== undefined;
}
