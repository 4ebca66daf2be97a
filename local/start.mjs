// `npm start`: the whole stack on this machine. Options are explained by `npm start -- --help`.
import { run } from '../tools/bootstrap.mjs';

process.exitCode = await run('local/main.ts', process.argv.slice(2));
