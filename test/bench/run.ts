/**
 * Benchmarks: figures to read, not tests that pass or fail.
 *
 *     npm run bench -- NAME [ARGUMENTS]
 *
 * Each benchmark is a file in this folder. The comment at its beginning describes what it measures and its arguments.
 */
const NAMES = ['observations', 'analysis', 'late', 'backfill', 'day', 'kube', 'operator', 'schedules', 'cli'];

const [name] = process.argv.splice(2, 1);
if (!name || !NAMES.includes(name)) {
  console.error(`usage: npm run bench -- NAME [ARGUMENTS], where NAME is one of ${NAMES.join(', ')}`);
  process.exit(2);
}
await import(`./${name}.ts`);
