import { connectionFailure } from '../../temporal/connection-failure.ts';

/** A failed request to Temporal. The message never contains credentials or arguments of workflows. */
export class TemporalError extends Error {
  override name = 'TemporalError';
}

/** No answer in time. The state in Temporal is unknown, and so is the effect of a write. */
export class TemporalUnavailable extends TemporalError {
  override name = 'TemporalUnavailable';
}

/** Temporal rejects the credentials or the namespace. A person must change the settings. */
export class TemporalDenied extends TemporalUnavailable {
  override name = 'TemporalDenied';
}

/** The namespace does not exist: temporal_namespace is wrong, or nobody has created it yet. */
export class TemporalNamespaceMissing extends TemporalDenied {
  override name = 'TemporalNamespaceMissing';
}

/** Temporal asks for fewer requests. */
export class TemporalBusy extends TemporalUnavailable {
  override name = 'TemporalBusy';
  /** Milliseconds until the retry. */
  readonly after = 30_000;
}

/** Temporal accepted a message for a workflow, but no worker received it. */
export class NoWorkerError extends TemporalError {
  override name = 'NoWorkerError';
}

/** Temporal understood the request and rejects it. A repetition would get the same answer. */
export class TemporalRejected extends TemporalError {
  override name = 'TemporalRejected';
}

/** Another writer changed the schedule between our read and our write. Read again. */
export class TemporalConflict extends TemporalError {
  override name = 'TemporalConflict';
}

/** gRPC status codes (grpc.io/docs/guides/status-codes). */
const CODE = {
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  unimplemented: 12,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** Returns the gRPC status in an error of the SDK or of grpc-js, with its text; undefined for other errors. */
function grpcStatus(error: unknown): { code: number; details: string } | undefined {
  // By its name: the SDK takes a quarter of a second to load, and a command that needs no Temporal does not load it.
  const inner = error instanceof Error && error.name === 'ServiceError' ? error.cause : error;
  if (!(inner instanceof Error)) return undefined;
  const { code, details } = inner as { code?: unknown; details?: unknown };
  return typeof code === 'number'
    ? { code, details: connectionFailure(typeof details === 'string' ? details : inner.message) }
    : undefined;
}

/** Returns whether Temporal does not have the object of a request. */
export function isNotFound(error: unknown): boolean {
  const status = grpcStatus(error);
  // A missing namespace is NOT_FOUND as well. The cause is then in the settings; the object is not absent.
  return status?.code === CODE.notFound && !/namespace/i.test(status.details);
}

/** Returns whether the server could not be reached. A deadline that passed may be due to a worker that does not answer. */
export function isUnreachable(error: unknown): boolean {
  return grpcStatus(error instanceof TemporalError ? error.cause : error)?.code === CODE.unavailable;
}

/** Returns whether Temporal rejects a request in the present state of its object. */
export function isPreconditionFailed(error: unknown): boolean {
  return grpcStatus(error)?.code === CODE.failedPrecondition;
}

/** Returns whether Temporal has an object with this id already. */
export function isAlreadyExists(error: unknown): boolean {
  return grpcStatus(error)?.code === CODE.alreadyExists;
}

/** Returns the class for an error of a request to Temporal. Other errors are returned unchanged. */
export function classify(error: unknown, doing: string): unknown {
  if (error instanceof TemporalError) return error;
  if (error instanceof Error && error.name === 'NamespaceNotFoundError')
    return new TemporalNamespaceMissing(`${doing}: ${error.message}`, { cause: error });
  const status = grpcStatus(error);
  if (!status) return error;
  const message = `${doing}: ${status.details}`;
  const options = { cause: error };
  switch (status.code) {
    case CODE.permissionDenied:
    case CODE.unauthenticated:
      return new TemporalDenied(message, options);
    case CODE.notFound:
      return /namespace/i.test(status.details)
        ? new TemporalNamespaceMissing(`${message} Check temporal_namespace.`, options)
        : new TemporalRejected(message, options);
    case CODE.resourceExhausted:
      return new TemporalBusy(message, options);
    case CODE.failedPrecondition:
      return /conflict token/i.test(status.details)
        ? new TemporalConflict(message, options)
        : new TemporalRejected(message, options);
    case CODE.invalidArgument:
    case CODE.alreadyExists:
    case CODE.unimplemented:
      return new TemporalRejected(message, options);
    default:
      // INTERNAL, UNKNOWN, ABORTED and DATA_LOSS too: the state is unknown.
      return new TemporalUnavailable(message, options);
  }
}

/** Returns a handler for `catch` that turns an expected error into undefined and throws every other one. */
export function undefinedWhen(expected: (error: unknown) => boolean): (error: unknown) => undefined {
  return error => {
    if (expected(error)) return undefined;
    throw error;
  };
}
