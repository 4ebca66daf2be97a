import { appendFileSync } from 'node:fs';

/** Notes what a test of faults has tried and what survived. `npm run faults` prints the notes at its end; other runs drop them. */
export function note(sentence: string): void {
  if (process.env.FAULT_NOTES) appendFileSync(process.env.FAULT_NOTES, `${sentence}\n`);
}
