import { CONDITIONS, type Condition, type ConditionType, REASONS, type Reason } from '../../crds/conditions.ts';

/**
 * Conclusion of a plan about a resource. Ready, Reconciling and Stalled are derived from it, so that they cannot contradict each other.
 *
 *     ready     the spec is in force
 *     working   the operator is putting the spec in force (Ready=False, Reconciling=True)
 *     stalled   nothing happens until a person changes something (Ready=False, Stalled=True)
 *     unknown   the state cannot be read now (Ready=Unknown)
 *     failing   a request failed and is retried (Ready=False)
 */
export interface ReadySummary {
  readonly kind: 'ready' | 'working' | 'stalled' | 'unknown' | 'failing';
  readonly reason: Reason;
  readonly message: string;
}

/** A condition of a plan. The generation and the times are added when it is written. */
export type DesiredCondition = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

/** Returns Ready, then Reconciling and Stalled while they are true, then the conditions of the kind. */
export function desiredConditions(summary: ReadySummary, own: readonly DesiredCondition[] = []): DesiredCondition[] {
  const { kind, reason, message } = summary;
  const ready = kind === 'ready' ? 'True' : kind === 'unknown' ? 'Unknown' : 'False';
  return [
    { type: 'Ready', status: ready, reason, message },
    ...(kind === 'working' ? [{ type: 'Reconciling', status: 'True', reason, message } as const] : []),
    ...(kind === 'stalled' ? [{ type: 'Stalled', status: 'True', reason, message } as const] : []),
    ...own,
  ];
}

/** Returns the conditions to write. A condition keeps the time of its last transition while its status stays the same. */
export function merge(
  before: readonly Condition[] | undefined,
  desired: readonly DesiredCondition[],
  generation: number,
  now: number,
): Condition[] {
  return desired.map(condition => {
    const old = before?.find(({ type }) => type === condition.type);
    const lastTransitionTime = old && old.status === condition.status ? old.lastTransitionTime : seconds(now);
    return { ...condition, message: cut(condition.message), observedGeneration: generation, lastTransitionTime };
  });
}

/** Characters of a message. The server rejects a longer one, and with it the whole status. */
const MAX_LENGTH = 32_768;

function cut(message: string): string {
  return message.length <= MAX_LENGTH ? message : `${message.slice(0, MAX_LENGTH - 1)}…`;
}

/** Returns the instant as RFC 3339 in whole seconds, the form of times in Kubernetes. */
export function seconds(instant: number): string {
  return `${new Date(instant).toISOString().slice(0, 19)}Z`;
}

/** A transition for an event: the status or reason of a condition changed. */
export interface Transition {
  readonly type: 'Normal' | 'Warning';
  readonly reason: Reason;
  readonly message: string;
}

/** Reasons that make the event of a transition a warning, with any condition. */
const WARNING_REASONS: readonly Reason[] = [
  'RolloutStuck',
  'RequestFailed',
  'Retrying',
  'ArchiveSlow',
  'NoWorker',
  'NotProgressing',
  'WorkflowStuck',
];

/** Returns the transitions between two lists of conditions, one for each reason. */
export function transitions(before: readonly Condition[] | undefined, after: readonly Condition[]): Transition[] {
  const found = new Map<Reason, Transition>();
  for (const { type, status, reason, message } of after) {
    const old = before?.find(condition => condition.type === type);
    if (old && old.status === status && old.reason === reason) continue;
    const bad =
      type === 'Stalled' ||
      type === 'Failed' ||
      type === 'Warning' ||
      type === 'LastRunFailed' ||
      status === 'Unknown' ||
      WARNING_REASONS.includes(reason);
    // Ready repeats Reconciling and Stalled. One event is enough, and a warning wins.
    if (bad || !found.has(reason)) found.set(reason, { type: bad ? 'Warning' : 'Normal', reason, message });
  }
  return [...found.values()];
}

const PRESENT_WHILE_TRUE: readonly ConditionType[] = [
  'Reconciling',
  'Stalled',
  'Complete',
  'Failed',
  'Warning',
  'LastRunFailed',
];

/** Returns the violations of the rules that kstatus, `kubectl wait` and people rely on. Empty when there are none. */
export function lint(status: { observedGeneration?: number; conditions?: readonly Condition[] }): string[] {
  const problems: string[] = [];
  const conditions = status.conditions ?? [];
  const of = (type: ConditionType) => conditions.find(condition => condition.type === type);
  if (!of('Ready')) problems.push('Ready is missing');
  if (status.observedGeneration === undefined) problems.push('status.observedGeneration is missing');
  if (new Set(conditions.map(condition => condition.type)).size < conditions.length)
    problems.push('a type occurs twice');
  for (const { type, status: holds, reason, message, observedGeneration, lastTransitionTime } of conditions) {
    if (!(type in CONDITIONS)) problems.push(`${type} is not a documented condition`);
    if (!(reason in REASONS)) problems.push(`${type}: ${reason} is not a documented reason`);
    else if (!(REASONS[reason].in as readonly string[]).includes(type))
      problems.push(`${type} may not have reason ${reason}`);
    if (PRESENT_WHILE_TRUE.includes(type) && holds !== 'True') {
      problems.push(`${type} is ${holds}; it is present only while true`);
    }
    if (observedGeneration !== status.observedGeneration) problems.push(`${type} observed another generation`);
    if (message.trim() === '' || message.length > 32_768) problems.push(`${type} has no message, or one too long`);
    if (Number.isNaN(Date.parse(lastTransitionTime))) problems.push(`${type} has no transition time`);
  }
  if (of('Reconciling') && of('Stalled')) problems.push('Reconciling and Stalled hold at once');
  if (of('Ready')?.status === 'True' && (of('Stalled') || of('Reconciling'))) {
    problems.push('Ready although Stalled or Reconciling');
  }
  if (of('Complete') && of('Failed')) problems.push('Complete and Failed hold at once');
  if (of('Complete') && of('Stalled')) problems.push('Complete although Stalled');
  return problems;
}
