/**
 * Proof of the operator under faults, with real servers:
 *
 *     npm run faults [-- TEST...]
 *
 * - `operator-crash` kills the operator after its writes, without the response.
 * - `two-operators` stops and continues a leader, and prints the time of the fail-over.
 * - `stale-api-server` freezes one of two API servers.
 * - `kube-lease-pause`, `operator-away` and `temporal-wiped` stop processes, and take servers or their data away.
 *
 * Without TEST all of them run. `npm test` runs all but `stale-api-server`.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const TESTS = [
  'operator-crash',
  'two-operators',
  'stale-api-server',
  'kube-lease-pause',
  'operator-away',
  'temporal-wiped',
];
const asked = process.argv.slice(2);
const unknown = asked.filter(name => !TESTS.includes(name));
if (unknown.length > 0) {
  console.error(`unknown test ${unknown.join(', ')}; there are ${TESTS.join(', ')}`);
  process.exit(2);
}
const files = (asked.length > 0 ? asked : TESTS).map(name => `test/faults/${name}.test.ts`);
const { status } = spawnSync(process.execPath, ['tools/test.mjs', '--project', 'integration', ...files], {
  cwd: join(import.meta.dirname, '../..'),
  env: { ...process.env, FAULTS: 'all' },
  stdio: 'inherit',
});
process.exitCode = status ?? 1;
