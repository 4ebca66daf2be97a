import { durationSeconds } from '../../../crds/fields.ts';
import type { ScalingDecision, WorkerPoolSpec } from '../../../crds/worker-pool.ts';
import { counted } from '../../../pipeline/counts.ts';
import { clause } from '../../../pipeline/sentence.ts';
import type { DesiredCondition } from '../conditions.ts';
import type { ObservedPool } from './plan-types.ts';
import { decide, freshMemory, hold, type Memory, type Scaling } from './scaling.ts';
import { signalsOf } from './signals.ts';

/** Number of pods by the load. */
export interface Scaled {
  readonly desired: number;
  readonly own: readonly DesiredCondition[];
  /** Why the number is the desired one, as the end of a sentence. */
  readonly why: string;
  readonly decision?: ScalingDecision;
  readonly memory?: Memory;
}

/** Returns the number of pods that the load needs; while the load is unknown, the number that is safe. `current`: pods of the Deployment. */
export function autoscale(observed: ObservedPool, spec: WorkerPoolSpec, current: number, now: number): Scaled {
  const scaling = scalingOf(spec);
  const { activeRuns, memory: before, monotonic } = observed;
  const unknown = (reason: 'TemporalUnavailable' | 'SignalMissing', message: string): Scaled => {
    const { desired, memory } = hold({ scaling, current, now: monotonic, before, activeRuns });
    const lately = desired > Math.max(current, scaling.minReplicas);
    const text = lately
      ? `${clause(message)}; runs are active, so the pool gets ${counted(desired, 'pod')}, as the load required lately.`
      : `${clause(message)}; the number of pods stays ${desired}.`;
    const why = `the load is not known, but ${lately ? 'runs are active' : 'minReplicas and maxReplicas still apply'}`;
    return { desired, own: [{ type: 'ScalingActive', status: 'Unknown', reason, message: text }], why, memory };
  };
  if (!observed.load.known) return unknown('TemporalUnavailable', observed.load.message);
  const signals = signalsOf(observed, observed.load.value, spec, now);
  if (typeof signals === 'string') return unknown('SignalMissing', signals);
  const { decision, memory } = decide({
    ...{ signals, scaling, current, before: before ?? freshMemory(current, monotonic), now: monotonic, at: now },
  });
  const { desired } = decision;
  const why = `${decision.message.charAt(0).toLowerCase()}${clause(decision.message.slice(1))}`;
  if (signals.incomplete) {
    const message = `${signals.incomplete}; the pool is not scaled below ${desired}.`;
    return {
      desired,
      own: [{ type: 'ScalingActive', status: 'Unknown', reason: 'SignalMissing', message }],
      ...{ why, decision, memory },
    };
  }
  const bound = decision.reason === 'MinReplicas' || decision.reason === 'MaxReplicas';
  const own: DesiredCondition = {
    type: 'ScalingActive',
    status: 'True',
    reason: bound ? 'AtBound' : 'FollowingLoad',
    message: decision.message,
  };
  return { desired, own: [own], why, decision, memory };
}

/** Returns the autoscaling of a spec in plain numbers. Throws TypeError without one. */
export function scalingOf(spec: WorkerPoolSpec): Scaling {
  const auto = spec.autoscaling;
  if (!auto) throw new TypeError('the pool has no autoscaling');
  const inSeconds = (text: string) => durationSeconds(text) ?? 0;
  const direction = ({ stabilization, podsPerMinute }: typeof auto.scaleUp) => ({
    stabilization: inSeconds(stabilization),
    podsPerMinute,
  });
  return {
    minReplicas: auto.minReplicas,
    maxReplicas: auto.maxReplicas,
    utilization: auto.targetUtilization / 100,
    drainWithin: inSeconds(auto.drainWithin),
    cooldown: inSeconds(auto.cooldown),
    scaleUp: direction(auto.scaleUp),
    scaleDown: direction(auto.scaleDown),
  };
}
