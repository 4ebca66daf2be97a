import { NamespaceNotFoundError, ServiceError } from '@temporalio/client';

/** A request to Temporal that did not succeed. The message never carries credentials or arguments of workflows. */
export class TemporalError extends Error {
  override name = 'TemporalError';
}

/** No answer, or none in time: what is the case in Temporal is unknown, and whether a write took effect too. */
export class TemporalUnavailable extends TemporalError {
  override name = 'TemporalUnavailable';
}

/** Temporal answered that the credentials or the namespace are wrong: somebody must change settings, nothing here can. */
export class TemporalDenied extends TemporalUnavailable {
  override name = 'TemporalDenied';
}

/** There is no such namespace: temporal_namespace is wrong, or nobody has made it yet. */
export class TemporalNamespaceMissing extends TemporalDenied {
  override name = 'TemporalNamespaceMissing';
}

/** Temporal asks to be asked less often. */
export class TemporalBusy extends TemporalUnavailable {
  override name = 'TemporalBusy';
  /** Milliseconds after which to try again. */
  readonly after = 30_000;
}

/** Temporal took a message for a workflow, and no worker came to hear it. */
export class NoWorkerAnswers extends TemporalError {
  override name = 'NoWorkerAnswers';
}

/** Temporal understood the request and refuses it: asking again gives the same answer. */
export class TemporalRejected extends TemporalError {
  override name = 'TemporalRejected';
}

/** Somebody else changed the schedule between our reading and our writing: read again. */
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
  unauthenticated: 16,
} as const;

/** The gRPC status in an error of the SDK or of grpc-js, and its text; undefined when it is none. */
function grpcStatus(error: unknown): { code: number; details: string } | undefined {
  const inner = error instanceof ServiceError ? error.cause : error;
  if (!(inner instanceof Error)) return undefined;
  const { code, details } = inner as { code?: unknown; details?: unknown };
  return typeof code === 'number'
    ? { code, details: typeof details === 'string' ? details : inner.message }
    : undefined;
}

export function isNotFound(error: unknown): boolean {
  const status = grpcStatus(error);
  // A missing namespace is NOT_FOUND as well, but it is the settings that are wrong, not the object that is absent.
  return status?.code === CODE.notFound && !/namespace/i.test(status.details);
}

export function isAlreadyExists(error: unknown): boolean {
  return grpcStatus(error)?.code === CODE.alreadyExists;
}

/** The class of an error that a request to Temporal ended with; errors that are none of Temporal's come back as they are. */
export function classify(error: unknown, doing: string): unknown {
  if (error instanceof TemporalError) return error;
  if (error instanceof NamespaceNotFoundError)
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
      // INTERNAL, UNKNOWN, ABORTED, DATA_LOSS too: nothing is known, so nothing is concluded.
      return new TemporalUnavailable(message, options);
  }
}
