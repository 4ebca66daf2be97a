import { GROUP, VERSION } from '../../crds/resource.ts';
import { Client } from '../../operator/kube/client.ts';
import { type Connection, connectionSource, KubeConfigError } from '../../operator/kube/config.ts';
import { InvalidError, KubeError, NotFoundError, TooManyRequestsError } from '../../operator/kube/errors.ts';
import type { Temporal } from '../../operator/temporal/connection.ts';
import { TemporalDenied, TemporalError, TemporalUnavailable } from '../../operator/temporal/errors.ts';
import { sentence } from '../../pipeline/sentence.ts';
import type { Settings } from '../../pipeline/settings.ts';
import type { Logger } from '../../pipeline/telemetry/log.ts';
import { SEARCH_ATTRIBUTES } from '../../worker/contract.ts';

/** Errors of the orchestrators with a cause outside the program. */
export const ORCHESTRATION_ERRORS = [TemporalError, KubeError, KubeConfigError];

/** Returns whether an error says that the server does not answer at the moment. A display that follows something waits then. */
export function isAway(error: unknown): boolean {
  if (error instanceof TemporalUnavailable) return !(error instanceof TemporalDenied);
  if (!(error instanceof KubeError) || error instanceof InvalidError) return false;
  return error.status === 0 || error.status >= 500 || error instanceof TooManyRequestsError;
}

/** Options that choose between a resource in Kubernetes and Temporal itself. */
export interface TargetOptions {
  /**
   * True: Kubernetes. False: Temporal. Absent: Kubernetes if `context` or `namespace` is given, or if the cluster of a context has our
   * kinds.
   */
  readonly kubernetes?: boolean;
  readonly context?: string;
  readonly namespace?: string;
  /** The command changes nothing. */
  readonly dryRun?: boolean;
}

export type Target =
  | { readonly at: 'Temporal'; readonly temporal: Temporal; readonly description: string; close(): Promise<void> }
  | {
      readonly at: 'Kubernetes';
      readonly client: Client;
      readonly namespace: string;
      readonly description: string;
      close(): Promise<void>;
    };

/** Milliseconds for the answer of the API server to the question whether it has our kinds. */
const ANSWER = 10_000;

/** Opens the place where a command makes its schedules and backfills. Throws the ORCHESTRATION_ERRORS, with the option that decides. */
export async function openTarget(settings: Settings, options: TargetOptions, log: Logger): Promise<Target> {
  if (options.kubernetes === false) return temporalTarget(settings, options, log, '--no-kubernetes is given');
  // A context or a namespace names a place in Kubernetes, so the command does not fall back to Temporal.
  const isRequired = options.kubernetes === true || (options.context ?? options.namespace) !== undefined;
  let source: () => Promise<Connection>;
  try {
    source = connectionSource(options.context === undefined ? {} : { context: options.context });
  } catch (error) {
    if (!(error instanceof KubeConfigError) || isRequired) throw error;
    return temporalTarget(settings, options, log, 'there is no Kubernetes context');
  }
  const { Http } = await import('../../operator/kube/http.ts');
  const http = new Http(source, { userAgent: 'oonipipeline' });
  try {
    const { server, namespace } = await source();
    const path = `/apis/${GROUP}/${VERSION}`;
    const found = await http.request({ method: 'GET', path, timeout: ANSWER }).then(
      () => true,
      (error: unknown) => {
        if (error instanceof NotFoundError) return false;
        throw error;
      },
    );
    if (!found && isRequired) {
      throw new KubeConfigError(
        `the cluster at ${server} does not have the kinds of ${GROUP}; install the CRDs, or give --no-kubernetes to use Temporal itself`,
      );
    }
    if (!found) {
      await http.close();
      return temporalTarget(settings, options, log, `the cluster at ${server} does not have the kinds of ${GROUP}`);
    }
    const chosen = options.namespace ?? namespace;
    return {
      at: 'Kubernetes',
      client: new Client(http, { fieldManager: 'oonipipeline' }),
      namespace: chosen,
      description: `Kubernetes at ${server}, namespace ${chosen}`,
      close: () => http.close(),
    };
  } catch (error) {
    await http.close();
    const isKnown = error instanceof KubeError || error instanceof KubeConfigError;
    if (!isKnown || isRequired) throw error;
    // Work that is made in Temporal although the cluster has the operator would be invisible there, and may exist there already.
    throw new KubeConfigError(
      `${sentence(error.message)} It is unknown whether this cluster runs the pipeline: give --no-kubernetes to use Temporal itself, or --kubernetes`,
      { cause: error },
    );
  }
}

async function temporalTarget(
  settings: Settings,
  { dryRun }: TargetOptions,
  log: Logger,
  reason: string,
): Promise<Target> {
  const temporal = await (dryRun ? openTemporalToRead(settings, log) : openTemporal(settings, log));
  return {
    at: 'Temporal',
    temporal,
    description: `Temporal at ${settings.temporal_address}, namespace ${settings.temporal_namespace} (${reason})`,
    close: () => temporal.close(),
  };
}

/** Opens Temporal for a command that only reads. Sends no request, and never registers search attributes. */
export async function openTemporalToRead(settings: Settings, log: Logger): Promise<Temporal> {
  const { Temporal } = await import('../../operator/temporal/connection.ts');
  return new Temporal(settings, { attributes: [], log });
}

/** Opens Temporal for a command that starts something. Sends no request; the first one registers the search attributes of runs. */
async function openTemporal(settings: Settings, log: Logger): Promise<Temporal> {
  const { Temporal } = await import('../../operator/temporal/connection.ts');
  return new Temporal(settings, { attributes: Object.keys(SEARCH_ATTRIBUTES), log });
}

/** Returns the search attributes of runs that the namespace lacks. Throws TemporalErrors. */
export function missingSearchAttributes(temporal: Temporal): Promise<string[]> {
  return temporal.call('listing search attributes', async client => {
    const { customAttributes } = await client.connection.operatorService.listSearchAttributes({
      namespace: temporal.namespace,
    });
    return Object.keys(SEARCH_ATTRIBUTES).filter(name => !(name in (customAttributes ?? {})));
  });
}
