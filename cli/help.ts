/** The exit statuses of a command that has no special ones. */
export const EXIT_STATUS =
  'Exit status: 0 done; 1 it could not be done, and standard error has the reason; 2 wrong usage.';
