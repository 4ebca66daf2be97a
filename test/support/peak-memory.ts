import { readFileSync } from 'node:fs';

/**
 * Returns the peak resident memory of this process in MB (10^6 bytes). Does not use `maxRSS` of the resource usage, because a program
 * inherits that value from its parent.
 */
export function peakMemory(): number {
  const status = readFileSync('/proc/self/status', 'utf8');
  return Math.round((Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)![1]) * 1024) / 1e6);
}
