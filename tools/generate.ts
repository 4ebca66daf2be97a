/**
 * Writes all generated files. With --check it writes nothing and exits with 1 if a file differs from the generated content.
 *
 *     npm run generate
 *     npm run generate -- --check
 */
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { generatedFromCrds } from '../crds/generate.ts';
import { ASSETS, supersetAssets } from '../superset/bundle.ts';
import { analysisPage } from './analysis-page.ts';
import { argocdCustomizations } from './argocd-customizations.ts';
import { chartFiles } from './chart-files.ts';
import { cliPage } from './cli-page.ts';
import { composeFile } from './compose-file.ts';
import { helmValuesPage } from './helm-values-page.ts';
import { metricsPage } from './metrics-page.ts';
import { scannerCode } from './scanner-code.ts';
import { SCHEMA_RECORD, schemaRecord } from './schema-record.ts';
import { settingsPage } from './settings-page.ts';
import { verdictsPage } from './verdicts-page.ts';

/**
 * Generators by file, relative to the root. Each generator is a pure function of the code; schemaRecord also compares the code with its
 * file.
 */
const GENERATED: Record<string, () => string | Promise<string>> = {
  'docs/cli.md': cliPage,
  'docs/settings.md': settingsPage,
  'docs/metrics.md': metricsPage,
  'docs/helm-values.md': helmValuesPage,
  'docs/analysis-rules.md': analysisPage,
  'gitops/argocd/argocd-cm.yaml': argocdCustomizations,
  'compose.yaml': composeFile,
  'docs/verdicts.md': verdictsPage,
  'pipeline/measurement/scanner-code.ts': scannerCode,
  [SCHEMA_RECORD]: schemaRecord,
  ...generatedFromCrds(),
  ...chartFiles(),
  ...supersetAssets(),
};

/** Folders in which every file is generated. Any other file is left over from a removed generator, and is removed. */
const FOLDERS = [ASSETS];

const root = join(import.meta.dirname, '..');
const check = process.argv.includes('--check');
const stale: string[] = [];

for (const [path, generate] of Object.entries(GENERATED)) {
  const file = join(root, path);
  const content = await generate();
  if (existsSync(file) && readFileSync(file, 'utf8') === content) continue;
  stale.push(path);
  if (check) continue;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}

for (const path of FOLDERS.flatMap(folder => globSync(`${folder}/**/*.*`, { cwd: root }))) {
  if (GENERATED[path]) continue;
  stale.push(path);
  if (!check) rmSync(join(root, path));
}

if (check && stale.length > 0) {
  console.error(
    `these files differ from what the code generates: ${stale.join(', ')}; run "npm run generate" and commit the result`,
  );
  process.exit(1);
}
console.log(stale.length === 0 ? 'generated files are current' : `wrote or removed ${stale.join(', ')}`);
