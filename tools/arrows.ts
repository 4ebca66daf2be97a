/**
 * Checks the import rules of the design: the folders that each folder may import. Prints each forbidden import and exits with 1. The rules
 * are about the imports that a file has itself, and not about what the imported files import.
 *
 *     node tools/arrows.ts
 */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

interface Rule {
  /** Files that the rule covers. */
  readonly from: RegExp;
  /** Project files that they may import, besides those of their own folder. */
  readonly may: RegExp;
  /** Packages and built-in modules that they must not import. */
  readonly never?: RegExp;
}

const KUBERNETES_AND_TEMPORAL = /^(@temporalio|@kubernetes|undici)/;
const IO =
  /^(node:(fs|net|http|https|child_process|worker_threads|dns)|@clickhouse|@aws-sdk|@temporalio|@kubernetes|undici|chdb)/;

const RULES: readonly Rule[] = [
  { from: /^crds\//, may: /^crds\// },
  { from: /^pipeline\/(observations|analysis)\//, may: /^pipeline\//, never: IO },
  { from: /^pipeline\//, may: /^pipeline\//, never: KUBERNETES_AND_TEMPORAL },
  { from: /^worker\/contract\.ts$/, may: /^$/, never: /./ },
  {
    from: /^worker\/workflows\//,
    may: /^(worker\/(contract|workflows\/.*)|pipeline\/(bucket|counts|filter|telemetry\/trace-parent|runs\/bucket-run)|temporal\/trace-header)\.ts$/,
    never: /^node:/,
  },
  { from: /^temporal\//, may: /^(temporal|pipeline)\// },
  { from: /^worker\//, may: /^(worker|pipeline|crds|temporal)\// },
  { from: /^operator\/kube\//, may: /^(operator\/kube\/|pipeline\/back-off\.ts$)/, never: /^@temporalio/ },
  // Plans compute from what was observed. In the folder of a kind, only the reconciler reaches another system.
  {
    from: /^operator\/(controllers\/[^/]+\/(?!reconciler\.ts$)|reference-schedules\/plan\.ts$)/,
    may: /^(operator\/(?!controllers\/([^/]+\/reconciler|reconcile)\.ts$)|crds\/|pipeline\/|worker\/contract\.ts$)/,
    never: IO,
  },
  { from: /^operator\//, may: /^(operator\/|crds\/|pipeline\/|temporal\/|worker\/contract\.ts$)/ },
  { from: /^superset\//, may: /^(superset|pipeline)\//, never: IO },
  { from: /^clickhouse\//, may: /^(clickhouse|pipeline)\//, never: KUBERNETES_AND_TEMPORAL },
  // The commands use the clients of the operator for Kubernetes and Temporal, and not its controllers.
  {
    from: /^cli\//,
    may: /^(cli\/|clickhouse\/|crds\/|pipeline\/|temporal\/|operator\/(kube|temporal|reference-schedules)\/|operator\/(hash|rbac)\.ts$|operator\/controllers\/resources\.ts$|worker\/(contract|main)\.ts$)/,
  },
];

/** Folders of `pipeline/` from the lowest to the highest: each may import those before it. Files at the top of `pipeline/` are the lowest. */
const PIPELINE = [
  '',
  'telemetry',
  'measurement',
  'archive',
  'tables',
  'reference',
  'observations',
  'ledger',
  'analysis',
  'migrations',
  'runs',
  'threads',
];

const root = join(import.meta.dirname, '..');
const wrong: string[] = [];
let imports = 0;

for (const file of globSync('{crds,pipeline,temporal,worker,operator,superset,clickhouse,cli}/**/*.ts', {
  cwd: root,
})) {
  if (file.endsWith('.test.ts')) continue;
  const rules = RULES.filter(rule => rule.from.test(file));
  for (const { target, isType } of importsOf(file)) {
    imports += 1;
    const inside = target.startsWith('.') ? relative(root, join(root, dirname(file), target)) : undefined;
    if (inside !== undefined && runsUpwards(file, inside)) wrong.push(`${file} imports ${inside}, which is above it`);
    // Types have no code at run time and may come from any other folder.
    for (const rule of isType ? [] : rules) {
      if (inside !== undefined ? !rule.may.test(inside) : rule.never?.test(target)) {
        wrong.push(`${file} imports ${inside ?? target}`);
      }
    }
  }
}

if (wrong.length > 0) {
  console.error(
    `${wrong.length} imports point the wrong way (ARCHITECTURE.md says which way they go):\n${wrong.join('\n')}`,
  );
  process.exit(1);
}
console.log(`${imports} imports point the right way`);

/** Returns whether an import inside `pipeline/` points to a folder that is higher in the order. */
function runsUpwards(file: string, target: string): boolean {
  const place = (path: string): number | undefined => {
    const [top, folder, ...rest] = path.split('/');
    if (top !== 'pipeline') return undefined;
    const index = PIPELINE.indexOf(rest.length > 0 ? (folder as string) : '');
    if (index < 0) throw new Error(`${path}: the folder is not in the order of tools/arrows.ts`);
    return index;
  };
  const [from, to] = [place(file), place(target)];
  return from !== undefined && to !== undefined && to > from;
}

/** Lists the imports of a file. `isType`: only types are imported. */
function importsOf(file: string): { target: string; isType: boolean }[] {
  const source = readFileSync(join(root, file), 'utf8');
  const found = source.matchAll(/^\s*(?:import|export)\s+(type\b)?(?:[^'";]*?\sfrom\s+)?['"]([^'"]+)['"]/gm);
  const dynamic = source.matchAll(/\bimport\(\s*['"]([^'"]+)['"]\s*\)/g);
  return [
    ...[...found].map(match => ({ target: match[2] as string, isType: match[1] !== undefined })),
    ...[...dynamic].map(match => ({ target: match[1] as string, isType: false })),
  ];
}
