import { readFileSync } from 'node:fs';

/**
 * The most memory that this process has had resident, in MB (10^6 bytes). Not `maxRSS` of the resource usage: a program inherits that
 * from the one that started it.
 */
export function peakMemory(): number {
  const status = readFileSync('/proc/self/status', 'utf8');
  return Math.round((Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)![1]) * 1024) / 1e6);
}
