import { readFileSync } from 'node:fs';

/** Returns the user and system time of a process so far in seconds: fields 14 and 15 of /proc/PID/stat (proc(5)), in hundredths. */
export function processorTime(pid: number): number {
  // The name of the program, in parentheses, may contain any characters.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
