// `npm start`: the whole stack on this machine. Options are explained by `npm start -- --help`.
import { refuseOptionsTakenByNpm, run } from '../tools/bootstrap.mjs';

refuseOptionsTakenByNpm('start', [
  'no-kubernetes',
  'superset',
  'traces',
  'exit-when-done',
  'clean',
  'data',
  'port-offset',
]);
process.exitCode = await run('local/main.ts', process.argv.slice(2));
