import { statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { findOnPath } from './process.ts';

export const KUBERNETES_VERSION = '1.33.4';
export const TEMPORAL_VERSION = '1.8.2';

/** The servers' programs, each with the folder of the cache it lies in. */
export const PROGRAMS = {
  etcd: `kubernetes-${KUBERNETES_VERSION}`,
  'kube-apiserver': `kubernetes-${KUBERNETES_VERSION}`,
  'kube-controller-manager': `kubernetes-${KUBERNETES_VERSION}`,
  'kube-scheduler': `kubernetes-${KUBERNETES_VERSION}`,
  kubectl: `kubernetes-${KUBERNETES_VERSION}`,
  temporal: `temporal-${TEMPORAL_VERSION}`,
} as const;
export type ProgramName = keyof typeof PROGRAMS;

/** The environment variable that names a program: OONI_KUBE_APISERVER for kube-apiserver. */
export function programVariable(name: ProgramName): string {
  return `OONI_${name.toUpperCase().replaceAll('-', '_')}`;
}

/** Where obtained programs are kept: XDG_CACHE_HOME/ooni-pipeline, or ~/.cache/ooni-pipeline. */
export function programCache(env: NodeJS.ProcessEnv = process.env): string {
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'ooni-pipeline');
}

/** A program that is on this machine already: from its environment variable, PATH or the cache; undefined when in none. */
export function findProgram(name: ProgramName, env: NodeJS.ProcessEnv = process.env): string | undefined {
  const given = env[programVariable(name)];
  if (given) return given;
  const onPath = findOnPath(name, env.PATH);
  if (onPath) return onPath;
  const cached = join(programCache(env), PROGRAMS[name], name);
  return statSync(cached, { throwIfNoEntry: false })?.isFile() ? cached : undefined;
}

/** The program's path. Throws when it is nowhere: `obtainPrograms` comes first. */
export function requireProgram(name: ProgramName): string {
  const path = findProgram(name);
  if (!path) throw new Error(`${name} is not on this machine`);
  return path;
}

/** Makes sure that every program is on this machine. */
export async function obtainPrograms(): Promise<void> {
  for (const name of Object.keys(PROGRAMS) as ProgramName[]) requireProgram(name);
}
