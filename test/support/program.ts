/** What the programs under test get of the environment of the tests: nothing else of it may decide how they behave. */
export const PROGRAM_ENV: NodeJS.ProcessEnv = Object.fromEntries(
  ['PATH', 'HOME', 'NODE_COMPILE_CACHE'].flatMap(name => (process.env[name] ? [[name, process.env[name]]] : [])),
);
