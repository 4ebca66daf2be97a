import { type Profiler, Session } from 'node:inspector/promises';

/** The stages of the path in their order, and other work of the thread. */
export const STAGES = [
  'fetch',
  'decompress',
  'decode',
  'id',
  'transform',
  'encode',
  'insert',
  'collector',
  'other',
] as const;
export type Stage = (typeof STAGES)[number];

/** Patterns of source locations and their stage. The first match counts. */
const PLACES: readonly (readonly [place: RegExp, stage: Stage])[] = [
  [/\/archive\/(directory|s3)/, 'fetch'],
  [/\/archive\//, 'decompress'],
  // The trivial id: a hash of each line without a uid.
  [/\/measurement\/uid/, 'id'],
  [/\/measurement\//, 'decode'],
  [/\/(observations|reference)\//, 'transform'],
  [/\/tables\/(rowbinary|encoder)/, 'encode'],
  [/\/(tables|runs)\/|@clickhouse|^node:(_?http|net)/, 'insert'],
  [/^node:(internal\/)?fs/, 'fetch'],
];

/** Returns the share of the thread's working time by stage while `work` runs. Native code counts for its caller. */
export async function profile(work: () => Promise<unknown>): Promise<Record<Stage, number>> {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: 200 });
  await session.post('Profiler.start');
  await work();
  const { profile } = await session.post('Profiler.stop');
  session.disconnect();
  return shares(profile);
}

function shares({ nodes, samples = [] }: Profiler.Profile): Record<Stage, number> {
  const stageOf = new Map<number, Stage | 'idle'>();
  const visit = (node: Profiler.ProfileNode, caller: Stage | 'idle') => {
    const stage = own(node.callFrame) ?? caller;
    stageOf.set(node.id, stage);
    for (const child of node.children ?? []) visit(byId.get(child)!, stage);
  };
  const byId = new Map(nodes.map(node => [node.id, node]));
  visit(nodes[0]!, 'other');
  const found = Object.fromEntries(STAGES.map(stage => [stage, 0])) as Record<Stage, number>;
  let working = 0;
  for (const sample of samples) {
    const stage = stageOf.get(sample);
    if (stage === undefined || stage === 'idle') continue;
    found[stage]++;
    working++;
  }
  for (const stage of STAGES) found[stage] /= Math.max(1, working);
  return found;
}

function own({ functionName, url }: Profiler.ProfileNode['callFrame']): Stage | 'idle' | undefined {
  if (functionName === '(idle)') return 'idle';
  if (functionName === '(garbage collector)') return 'collector';
  return PLACES.find(([place]) => place.test(url))?.[1];
}
