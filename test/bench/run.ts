/**
 * Benchmarks, each a program of its own in this folder:
 *
 *     npm run bench -- NAME [ARGUMENT ...]
 */
const NAMES = ['observations', 'kube'];

const [name = ''] = process.argv.splice(2, 1);
if (NAMES.includes(name)) {
  await import(`./${name}.ts`);
} else {
  console.error(`usage: npm run bench -- ${NAMES.join('|')} [ARGUMENT ...]`);
  process.exitCode = 2;
}
