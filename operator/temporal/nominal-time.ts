/** Returns the nominal firing time (milliseconds since 1970) that Temporal appended to the id of a launching workflow. */
export function nominalTime(workflowID: string): number | undefined {
  const text = workflowID.match(/-(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z)$/)?.[1];
  return text === undefined ? undefined : Date.parse(text);
}
