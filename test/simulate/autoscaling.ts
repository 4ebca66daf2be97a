/**
 * Compares the autoscaling of WorkerPools, with its defaults, with the rule of KEDA's Temporal scaler on shapes of load.
 *
 *     npm run simulate -- autoscaling [--svg FILE]
 *
 * The simulation runs the pure functions of the operator. KEDA gets as many waiting tasks for each pod as a pod has slots. Prints pod-hours, the
 * seconds until a group of tasks was done, and the pods that were removed while they had a task. The picture shows the pods of
 * both, and the waiting tasks.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { WORKER_POOL } from '../../crds/worker-pool.ts';
import { specOf } from '../../operator/controllers/reconcile.ts';
import { scalingOf } from '../../operator/controllers/worker-pool/autoscale.ts';
import type { Scaling } from '../../operator/controllers/worker-pool/scaling.ts';
import { type Outcome, type Shape, simulate } from './engine.ts';
import { kedaScaler, MOST, operatorScaler } from './scalers.ts';
import { SHAPES } from './shapes.ts';

/** Returns the defaults of `spec.autoscaling`. */
function defaults(): Scaling {
  const spec = specOf(WORKER_POOL, { spec: { autoscaling: { maxReplicas: MOST } } });
  if (spec instanceof Error) throw spec;
  return scalingOf(spec);
}

export interface Compared {
  readonly shape: Shape;
  readonly operator: Outcome;
  readonly keda: Outcome;
}

/** Simulates each shape with both scalers. */
export function compare(): Compared[] {
  return SHAPES.map(shape => ({
    shape,
    operator: simulate(shape, () => operatorScaler(defaults(), shape.slots, shape.pools)),
    keda: simulate(shape, () => kedaScaler(shape.slots)),
  }));
}

function line(name: string, { podHours, meanCompletion, longestCompletion, killedBusy, unfinished }: Outcome): string {
  const done =
    unfinished > 0
      ? 'never done'
      : `done in ${Math.round(meanCompletion)} s, at most ${Math.round(longestCompletion)} s`;
  return `  ${name.padEnd(9)} ${podHours.toFixed(1).padStart(5)} pod-hours, ${done}, ${killedBusy} busy pods removed`;
}

/** Draws the pods of both scalers and the waiting tasks over time, one row for each shape. */
function draw(all: readonly Compared[]): string {
  const [width, height, gap] = [900, 120, 40];
  const rows = all.map(({ shape, operator, keda }, row) => {
    const top = row * (height + gap) + gap;
    const most = Math.max(...[...operator.samples, ...keda.samples].map(({ pods }) => pods));
    const waiting = Math.max(1, ...[...operator.samples, ...keda.samples].map(({ backlog }) => backlog));
    const path = (samples: Outcome['samples'], of: 'pods' | 'backlog', scale: number) =>
      samples
        .filter(
          (sample, index) =>
            index === 0 || sample[of] !== samples[index - 1]?.[of] || sample[of] !== samples[index + 1]?.[of],
        )
        .map(
          sample =>
            `${((sample.now / shape.length) * width).toFixed(1)},${(top + height - (sample[of] / scale) * height).toFixed(1)}`,
        )
        .join(' ');
    return [
      `<text x="0" y="${top - 6}">${shape.name}: at most ${most} pods, ${waiting} waiting tasks, ${shape.length / 3600} h</text>`,
      `<rect x="0" y="${top}" width="${width}" height="${height}" fill="none" stroke="#ccc"/>`,
      `<polyline fill="none" stroke="#bbb" points="${path(operator.samples, 'backlog', waiting)}"/>`,
      `<polyline fill="none" stroke="#d95f02" points="${path(keda.samples, 'pods', most)}"/>`,
      `<polyline fill="none" stroke="#1b6ca8" points="${path(operator.samples, 'pods', most)}"/>`,
    ].join('\n');
  });
  const total = all.length * (height + gap) + gap;
  const legend = `<text x="0" y="${total - 10}">blue: pods of the operator, orange: pods of KEDA, gray: waiting tasks with the operator</text>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${total}" font-family="sans-serif" font-size="13">\n<title>Pods and waiting tasks over time, for each shape of load</title>\n${rows.join('\n')}\n${legend}\n</svg>\n`;
}

/** Prints the comparison. */
export function main(args: readonly string[]): void {
  const { values } = parseArgs({ args: [...args], options: { svg: { type: 'string' } } });
  const all = compare();
  for (const { shape, operator, keda } of all) {
    console.log(`${shape.name}\n${line('operator', operator)}\n${line('KEDA', keda)}`);
  }
  if (values.svg) writeFileSync(values.svg, draw(all));
}
