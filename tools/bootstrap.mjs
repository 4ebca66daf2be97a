// Runs on the installed Node, from version 20 on, before any dependency is installed: plain JavaScript, no packages.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Root of the repository. */
export const ROOT = fileURLToPath(new URL('..', import.meta.url));
const MODULES = join(ROOT, 'node_modules');
const NODE = join(MODULES, 'node', 'bin', 'node');

/** Returns the Node version that package.json pins. */
function pinnedNode() {
  return JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).devDependencies.node;
}

/** Prints a message and exits: with 1, or with 2 if the command line is wrong. */
function refuse(sentence, status = 1) {
  console.error(sentence);
  process.exit(status);
}

/**
 * Exits with a message when npm has taken options of this program: npm keeps options that are not after two dashes, and runs the program
 * without them. `npm start --clean` would start with the old data.
 */
export function refuseOptionsTakenByNpm(command, options) {
  if (process.env.npm_lifecycle_event === undefined) return;
  // npm gives its options to scripts as variables, `--no-x` as an empty `x`.
  const taken = options.filter(
    name => process.env[`npm_config_${name.replace(/^no-/, '').replaceAll('-', '_')}`] !== undefined,
  );
  if (taken.length === 0) return;
  const written = taken.map(name => `--${name}`).join(' ');
  refuse(
    `npm took ${written} as its own option, and nothing was started. Write the options after two dashes: npm ${command} -- ${written}`,
    2,
  );
}

function nodeWorks() {
  const { stdout } = spawnSync(NODE, ['--version'], { encoding: 'utf8' });
  return stdout?.trim() === `v${pinnedNode()}`;
}

/** Returns whether node_modules matches the lockfile. As the last step of an installation, npm writes the list of installed packages there. */
function installed() {
  const list = join(MODULES, '.package-lock.json');
  if (!existsSync(list)) return false;
  const packages = file => JSON.parse(readFileSync(file, 'utf8')).packages;
  const have = packages(list);
  return Object.entries(packages(join(ROOT, 'package-lock.json'))).every(([path, locked]) => {
    if (path === '') return true;
    // Packages for other machines are not installed.
    if (!have[path]) return locked.optional === true;
    return have[path].version === locked.version && have[path].integrity === locked.integrity;
  });
}

/** Installs the dependencies if they are missing or differ from the lockfile. Returns the path of the pinned Node. */
export function prepare() {
  if (Number(process.versions.node.split('.')[0]) < 20) {
    refuse(`Node ${process.versions.node} is too old: 20 or newer is needed (https://nodejs.org).`);
  }
  const run = (command, args, cwd) => spawnSync(command, args, { cwd, stdio: ['ignore', 2, 2] }).status;
  if (!installed()) {
    console.error('Installing dependencies (npm ci; about 1.3 GB, ClickHouse is most of it) …');
    const status = run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], ROOT);
    if (status !== 0) refuse('npm ci failed, see above. It needs a network, or a registry that npm is configured for.');
  }
  // npm from version 11 on runs only allowed install scripts, and the package `node` gets its program by such a script.
  if (!nodeWorks()) run(process.execPath, ['installArchSpecificPackage.js'], join(MODULES, 'node'));
  if (!nodeWorks()) {
    refuse(
      `Node ${pinnedNode()} for ${process.platform} on ${process.arch} could not be installed; remove node_modules and start again.`,
    );
  }
  return NODE;
}

/** Shells that npm uses to run scripts. Some replace themselves with the program, some stay between npm and the program. */
const SHELLS = new Set(['sh', 'dash', 'bash', 'ash', 'busybox', 'zsh', 'ksh']);

/** Returns the name and the parent of a process, or undefined if it is gone or the system does not report them. */
function processStatus(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const end = stat.lastIndexOf(')');
    return { name: stat.slice(stat.indexOf('(') + 1, end), parent: Number(stat.slice(end + 2).split(' ')[1]) };
  } catch {
    return undefined;
  }
}

/** Calls `gone` once npm, which runs this process, has ended. A signal to npm may end npm or its shell without reaching this process. */
function watchNpm(gone) {
  if (process.env.npm_lifecycle_event === undefined) return;
  const parent = process.ppid;
  const status = processStatus(parent);
  const npm = status && SHELLS.has(status.name) ? status.parent : undefined;
  const timer = setInterval(() => {
    if (process.ppid === parent && (npm === undefined || processStatus(parent)?.parent === npm)) return;
    clearInterval(timer);
    gone();
  }, 500);
  timer.unref();
}

/**
 * Runs a program of this project with the pinned Node and exits with its status. Ctrl-C reaches the program directly, so SIGINT is passed
 * on as a message, which the program can distinguish from a second Ctrl-C; other signals are passed on unchanged. When npm ends, the
 * program gets SIGTERM. When this process is killed, the program notices it by its channel.
 */
export function run(file, args) {
  const node = prepare();
  const env = {
    // Node finds its compiled code there again: each of the dozen processes of a start is ready half a second sooner.
    NODE_COMPILE_CACHE: join(MODULES, '.cache', 'node'),
    ...process.env,
    PATH: `${join(MODULES, '.bin')}:${process.env.PATH}`,
  };
  const child = spawn(node, [join(ROOT, file), ...args], { env, stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
  process.on('SIGINT', () => child.connected && child.send('SIGINT'));
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(signal, () => child.kill(signal));
  watchNpm(() => child.kill('SIGTERM'));
  return new Promise(resolve => {
    child.on('error', error => refuse(error.message));
    child.on('exit', (code, signal) => resolve(signal ? 1 : code));
  });
}
