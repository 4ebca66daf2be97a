// Plain JavaScript, because it must run on every Node from version 20 on.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { cacheCompiledCode } from './compile-cache.mjs';

/** First version of Node that runs the programs: its HTTP agents know proxies. */
const NODE = '24.5';

/** Returns whether a Node of this version runs the programs. */
export function runsPrograms(version) {
  const [major, minor] = version.split('.').map(Number);
  const [firstMajor, firstMinor] = NODE.split('.').map(Number);
  return major > firstMajor || (major === firstMajor && minor >= firstMinor);
}

/**
 * Runs the command `name`. A checkout has its source, `cli/<module>.ts`. An installed package has the bundle `dist/commands/<module>.js` instead,
 * because Node does not strip types below node_modules. On an older Node, the command runs on the Node that is installed with the package.
 */
export async function launch(name, module) {
  const source = new URL(`../${module}.ts`, import.meta.url);
  const program = existsSync(source) ? source : new URL(`../../dist/commands/${module}.js`, import.meta.url);
  if (runsPrograms(process.versions.node)) {
    cacheCompiledCode();
    await import(program.href);
    return;
  }
  const node = packagedNode();
  if (node === undefined) {
    console.error(
      `${name}: Node ${process.versions.node} is too old, and no newer one is installed with the package: install Node ${NODE} or newer (https://nodejs.org), or install the package with optional dependencies`,
    );
    process.exitCode = 1;
    return;
  }
  const itself = fileURLToPath(new URL(`./${name}.mjs`, import.meta.url));
  const child = spawn(node, [itself, ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']) {
    // Ctrl-C in a terminal reaches the program itself; passed on, it would count as two.
    process.on(signal, () => {
      if (!process.stdin.isTTY || signal === 'SIGTERM') child.kill(signal);
    });
  }
  child.on('error', error => {
    console.error(`${name}: ${node} does not start: ${error.message}`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    process.exitCode = signal ? 1 : code;
  });
}

/** Returns the path of the Node in the package's dependencies; undefined when there is none for this machine. */
function packagedNode() {
  const require = createRequire(import.meta.url);
  for (const name of [`node-${process.platform}-${process.arch}`, 'node']) {
    try {
      return require.resolve(`${name}/bin/node`);
    } catch {
      // Not installed.
    }
  }
  return undefined;
}
