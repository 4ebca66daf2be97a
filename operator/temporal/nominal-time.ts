import { NOMINAL_TIME } from '../../worker/contract.ts';

/** Returns the nominal firing time (milliseconds since 1970) that Temporal appended to the id of a launching workflow. */
export function nominalTime(workflowID: string): number | undefined {
  const text = NOMINAL_TIME.exec(workflowID)?.[1];
  return text === undefined ? undefined : Date.parse(text);
}
