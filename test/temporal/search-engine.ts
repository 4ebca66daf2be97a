import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findOnPath, StartError, type Supervised, supervise } from '../../local/process.ts';
import { freePort } from '../../pipeline/free-port.ts';
import { giveAway, unprivileged } from './unprivileged.ts';

export type EngineName = 'elasticsearch' | 'opensearch';

export interface SearchEngine {
  readonly name: EngineName;
  readonly version: string;
  readonly port: number;
  readonly process: Supervised;
  /** Returns the answer of a GET request as JSON. */
  get(path: string): Promise<Record<string, unknown>>;
  stop(): Promise<void>;
}

/** What differs between the two servers. Their archives are not in a package registry, but the jars that they are made of are. */
const ENGINES = {
  elasticsearch: {
    version: '7.17.28',
    group: 'org.elasticsearch',
    log4j: '2.17.1',
    main: 'org.elasticsearch.bootstrap.Elasticsearch',
    // What the server needs although its own description in Maven does not say so.
    libraries: [],
    modules: {
      'transport-netty4': 'org.elasticsearch.transport.Netty4Plugin',
      'mapper-extras': 'org.elasticsearch.index.mapper.MapperExtrasPlugin',
    },
    prefix: 'es',
    config: 'elasticsearch.yml',
    descriptor: 'elasticsearch.version',
  },
  opensearch: {
    version: '2.19.1',
    group: 'org.opensearch',
    log4j: '2.21.0',
    main: 'org.opensearch.bootstrap.OpenSearch',
    libraries: ['opensearch-plugin-classloader'],
    modules: {
      'transport-netty4': 'org.opensearch.transport.Netty4Plugin',
      'mapper-extras': 'org.opensearch.index.mapper.MapperExtrasPlugin',
    },
    prefix: 'opensearch',
    config: 'opensearch.yml',
    descriptor: 'opensearch.version',
  },
} as const;

/**
 * Starts one node of Elasticsearch or OpenSearch in `dir`, on a free port of 127.0.0.1. Its jars come from Maven's central repository into
 * `cache`, once. Throws StartError without Java 17 and Maven, or if the node does not start.
 */
export async function startSearchEngine(name: EngineName, dir: string, cache: string): Promise<SearchEngine> {
  const engine = ENGINES[name];
  for (const program of ['java', 'mvn']) {
    if (!findOnPath(program))
      throw new StartError(`${program} is not on the PATH: apt-get install maven openjdk-17-jre-headless`);
  }
  const jars = obtainJars(name, join(cache, `${name}-${engine.version}`));
  const home = join(dir, 'home');
  for (const folder of ['lib', 'config', 'plugins', 'logs', 'data', 'tmp'])
    mkdirSync(join(home, folder), { recursive: true });
  const modules = Object.entries(engine.modules);
  for (const [module, plugin] of modules) {
    mkdirSync(join(home, 'modules', module), { recursive: true });
    writeFileSync(
      join(home, 'modules', module, 'plugin-descriptor.properties'),
      [
        `description=${module}`,
        `version=${engine.version}`,
        `name=${module}`,
        `classname=${plugin}`,
        'java.version=1.8',
        `${engine.descriptor}=${engine.version}`,
        'has.native.controller=false',
        'extended.plugins=',
        '',
      ].join('\n'),
    );
  }
  for (const jar of readdirSync(jars)) {
    // As in the server's archive, a module has a class loader of its own. The transport with Netty is one, and so is the type scaled_float, which
    // Temporal's index template uses.
    const module = jar.startsWith('netty-')
      ? 'transport-netty4'
      : modules.find(([name]) => jar.startsWith(`${name}-`))?.[0];
    cpSync(join(jars, jar), join(home, module ? join('modules', module) : 'lib', jar));
  }
  const grant = (codebase: string) => `grant codeBase "\${codebase.${codebase}}" {
  permission java.io.FilePermission "/proc/sys/net/core/somaxconn", "read";
  permission java.net.SocketPermission "*", "accept,connect";
  permission java.util.PropertyPermission "*", "write";
};
`;
  writeFileSync(
    join(home, 'modules', 'transport-netty4', 'plugin-security.policy'),
    grant('netty-common') + grant('netty-transport'),
  );
  const port = await freePort();
  const settings = [
    'discovery.type: single-node',
    'network.host: 127.0.0.1',
    `http.port: ${port}`,
    `transport.port: ${await freePort()}`,
    'cluster.routing.allocation.disk.threshold_enabled: false',
    '',
  ];
  writeFileSync(join(home, 'config', engine.config), settings.join('\n'));
  writeFileSync(
    join(home, 'config', 'log4j2.properties'),
    [
      'status = error',
      'appender.console.type = Console',
      'appender.console.name = console',
      'appender.console.layout.type = PatternLayout',
      'appender.console.layout.pattern = [%d{ISO8601}][%-5p][%c{1.}] %m%n',
      'rootLogger.level = warn',
      'rootLogger.appenderRef.console.ref = console',
      '',
    ].join('\n'),
  );
  for (const folder of ['', 'config', 'logs', 'data', 'tmp']) giveAway(join(home, folder));
  const java = [
    '-Xms512m',
    '-Xmx512m',
    `-Djava.io.tmpdir=${join(home, 'tmp')}`,
    '-Djava.security.manager=allow',
    '-Dio.netty.noUnsafe=true',
    '-Dio.netty.noKeySetOptimization=true',
    '-Dio.netty.recycler.maxCapacityPerThread=0',
    '-Dlog4j.shutdownHookEnabled=false',
    '-Dlog4j2.disable.jmx=true',
    `-D${engine.prefix}.path.home=${home}`,
    `-D${engine.prefix}.path.conf=${join(home, 'config')}`,
    `-D${engine.prefix}.distribution.flavor=oss`,
    `-D${engine.prefix}.distribution.type=tar`,
    `-D${engine.prefix}.bundled_jdk=false`,
    '-cp',
    join(home, 'lib', '*'),
    engine.main,
  ];
  const process = await supervise({
    name,
    ...unprivileged(findOnPath('java')!, java),
    cwd: home,
    dir,
    env: { HOME: home, LIBFFI_TMPDIR: join(home, 'tmp') },
  });
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return (await response.json()) as Record<string, unknown>;
  };
  await process.waitFor(
    () =>
      get('/').then(
        () => true,
        () => false,
      ),
    180_000,
  );
  return { name, version: engine.version, port, process, get, stop: () => process.stop() };
}

/** Downloads the server, its transport module and what they need. Returns the folder of the jars. */
function obtainJars(name: EngineName, folder: string): string {
  const { group, version, log4j, libraries } = ENGINES[name];
  const jars = join(folder, 'jars');
  const dependency = (groupId: string, artifactId: string, of: string) =>
    `<dependency><groupId>${groupId}</groupId><artifactId>${artifactId}</artifactId><version>${of}</version></dependency>`;
  const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>org.ooni.test</groupId><artifactId>${name}</artifactId><version>1</version><dependencies>
${dependency(group, name, version)}
${libraries.map(library => dependency(group, library, version)).join('\n')}
${dependency(`${group}.plugin`, 'transport-netty4-client', version)}
${dependency(`${group}.plugin`, 'mapper-extras-client', version)}
${dependency('org.apache.logging.log4j', 'log4j-core', log4j)}
</dependencies></project>
`;
  const file = join(folder, 'pom.xml');
  if (existsSync(jars) && existsSync(file) && readFileSync(file, 'utf8') === pom) return jars;
  const part = join(folder, `part-${process.pid}`);
  mkdirSync(part, { recursive: true });
  writeFileSync(file, pom);
  const args = [
    '-q',
    '-B',
    '-ntp',
    '-f',
    file,
    'dependency:copy-dependencies',
    '-DincludeScope=runtime',
    `-DoutputDirectory=${part}`,
  ];
  try {
    execFileSync('mvn', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    rmSync(jars, { recursive: true, force: true });
    renameSync(part, jars);
  } finally {
    rmSync(part, { recursive: true, force: true });
  }
  return jars;
}
