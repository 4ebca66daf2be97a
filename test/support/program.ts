/** The environment of the programs under test. Other variables of the tests' environment must not influence them. */
export const PROGRAM_ENV: NodeJS.ProcessEnv = Object.fromEntries(
  ['PATH', 'HOME', 'NODE_COMPILE_CACHE'].flatMap(name => (process.env[name] ? [[name, process.env[name]]] : [])),
);
