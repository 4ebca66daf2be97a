import { chmodSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TEMPORAL_VERSION } from '../../local/programs/releases.ts';
import { type Postgresql, startPostgresql } from '../temporal/postgresql.ts';
import { obtainServer, SERVER_VERSION } from '../temporal/server.ts';
import type { Place } from './place.ts';
import { forwardPort } from './servers.ts';

const USER = 'temporal';
const PASSWORD = 'password-of-a-test';
/** Secret with the password of Temporal's user in PostgreSQL. */
const SECRET = 'temporal-postgresql';
const [SERVER_IMAGE, TOOLS_IMAGE] = [
  `docker.io/temporalio/server:${SERVER_VERSION}`,
  `docker.io/temporalio/admin-tools:${SERVER_VERSION}`,
];
/** History shards, as in compose.yaml. */
const SHARDS = 4;

/** Temporal's services in the cluster (temporal.mode production), with a PostgreSQL of this machine. */
export interface TemporalServices {
  readonly version: string;
  /** `temporal` of the chart's values. */
  readonly values: object;
  /** Secret that the values name. */
  readonly secret: object;
  stop(): Promise<void>;
}

/**
 * Starts PostgreSQL on this machine, and brings the images of Temporal's services to a cluster whose nodes cannot pull public ones. Throws
 * StartError without PostgreSQL or Go.
 */
export async function startTemporalServices(dir: string, place: Place): Promise<TemporalServices> {
  if (!place.pullsPublicImages) await buildImages(place);
  // PostgreSQL does not run as root, and its user reads this folder.
  chmodSync(dir, 0o755);
  const server: Postgresql = await startPostgresql(join(dir, 'postgresql'));
  try {
    server.query(`CREATE ROLE ${USER} LOGIN CREATEDB PASSWORD '${PASSWORD}'`);
    const forward = await forwardPort(place.host, server.port);
    const replicas = { replicas: 1 };
    return {
      version: server.version,
      values: {
        mode: 'production',
        production: {
          historyShards: SHARDS,
          postgresql: {
            host: place.host,
            port: forward.port,
            user: USER,
            existingSecret: SECRET,
            createDatabases: true,
            maxConnections: 10,
          },
          frontend: replicas,
          history: replicas,
          matching: replicas,
          // Its image has no stand-in.
          ui: { enabled: false },
        },
      },
      secret: { apiVersion: 'v1', kind: 'Secret', metadata: { name: SECRET }, stringData: { password: PASSWORD } },
      stop: async () => {
        await forward.stop();
        await server.stop();
      },
    };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** Builds stand-ins for the images of Temporal's server and tools, with the programs of the same versions. */
async function buildImages(place: Place): Promise<void> {
  const programs = await obtainServer();
  const names = ['temporal-server', 'temporal-sql-tool', 'temporal-elasticsearch-tool'];
  const context = mkdtempSync(join(tmpdir(), 'ooni-temporal-image-'));
  try {
    for (const name of names) copyFileSync(join(programs, name), join(context, name));
    const image = async (name: string, dockerfile: string) => {
      writeFileSync(join(context, 'Dockerfile'), dockerfile);
      await place.image(name, join(context, 'Dockerfile'), context);
    };
    // The image of the Temporal CLI has a shell, the CLI, and the user 1000.
    const base = `docker.io/temporalio/temporal:${TEMPORAL_VERSION}`;
    await image(SERVER_IMAGE, `FROM ${base}\nCOPY ${names.join(' ')} /usr/local/bin/\n`);
    await image(TOOLS_IMAGE, `FROM ${SERVER_IMAGE}\nLABEL org.opencontainers.image.title=admin-tools\n`);
  } finally {
    rmSync(context, { recursive: true });
  }
}
