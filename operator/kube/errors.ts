/** One field the API server refused. */
export interface InvalidCause {
  readonly field: string;
  readonly message: string;
  readonly reason: string;
}

/** The Status object with which the API server answers a failed request. */
export interface StatusBody {
  readonly message?: string;
  readonly reason?: string;
  readonly code?: number;
  readonly details?: {
    readonly retryAfterSeconds?: number;
    readonly causes?: readonly { readonly field?: string; readonly message?: string; readonly reason?: string }[];
  };
}

/** A request to the API server that did not succeed. `request` is "METHOD /path"; headers and bodies never get into an error. */
export class KubeError extends Error {
  override name = 'KubeError';
  readonly request: string;
  /** HTTP status, 0 when there was no answer. */
  readonly status: number;
  /** Machine-readable reason of the API server, as "AlreadyExists"; empty when it gave none. */
  readonly reason: string;
  constructor(request: string, status: number, body: StatusBody, options?: ErrorOptions) {
    super(`${request}: ${body.message || `HTTP ${status}`}`, options);
    this.request = request;
    this.status = status;
    this.reason = body.reason ?? '';
  }
}

/**
 * No answer: refused, reset, timed out, or cut in the middle. Of a write it is not known whether it took effect; every write
 * of ours can be repeated, so the remedy is to observe and try again.
 */
export class UnreachableError extends KubeError {
  override name = 'UnreachableError';
  constructor(request: string, message: string, options?: ErrorOptions) {
    super(request, 0, { message, reason: 'Unreachable' }, options);
  }
}
/** A stream was silent for longer than a living one may be: taken for dead. */
export class SilentError extends UnreachableError {
  override name = 'SilentError';
}
/** 401, after the credentials were read anew once. */
export class UnauthorizedError extends KubeError {
  override name = 'UnauthorizedError';
}
/** 403: a rule is missing for our account. */
export class ForbiddenError extends KubeError {
  override name = 'ForbiddenError';
}
/** 404: no such object, or no such kind. */
export class NotFoundError extends KubeError {
  override name = 'NotFoundError';
}
/** 409: the object has changed since it was read, another manager owns a field, or a precondition does not hold. */
export class ConflictError extends KubeError {
  override name = 'ConflictError';
}
/** 409 of a create: the name is taken. */
export class AlreadyExistsError extends ConflictError {
  override name = 'AlreadyExistsError';
}
/** 410: the resourceVersion or the continue token is too old; list again. */
export class GoneError extends KubeError {
  override name = 'GoneError';
}
/** 422 (or 500, for what has not the form of its kind): the object is refused; `causes` names the fields where the server does. */
export class InvalidError extends KubeError {
  override name = 'InvalidError';
  readonly causes: readonly InvalidCause[];
  /** What is wrong with which field, for people: without the request, and in words where the server speaks Go. */
  readonly explanation: string;
  constructor(request: string, status: number, body: StatusBody) {
    super(request, status, body);
    this.explanation = explain(body.message || `HTTP ${status}`);
    this.causes = (body.details?.causes ?? []).map(cause => ({
      field: cause.field ?? '',
      message: cause.message ?? '',
      reason: cause.reason ?? '',
    }));
  }
}
/** 429: come back after `after` milliseconds. The server promises that it did nothing. */
export class TooManyRequestsError extends KubeError {
  override name = 'TooManyRequestsError';
  readonly after: number;
  constructor(request: string, status: number, body: StatusBody, after: number) {
    super(request, status, body);
    this.after = after;
  }
}
/** 5xx: the server failed; `after` is its Retry-After in milliseconds, when it sent one. */
export class ServerError extends KubeError {
  override name = 'ServerError';
  readonly after: number | undefined;
  constructor(request: string, status: number, body: StatusBody, after?: number) {
    super(request, status, body);
    this.after = after;
  }
}

/** Milliseconds of a Retry-After header in seconds (the API server sends no dates); undefined when there is none. */
export function retryAfter(header: string | string[] | undefined): number | undefined {
  const seconds = Number(Array.isArray(header) ? header[0] : header);
  return header !== undefined && header !== '' && Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
}

/**
 * The text of a server that could not read an applied object, in words: `.spec.replicas: expected numeric (int or float), got
 * &value.valueUnstructured{Value:"x"}` names a type of the server's code. Other texts stay as they are.
 */
function explain(message: string): string {
  const problems = message.replace(MALFORMED, '').replace(/^\([^)]*\)( to proper version)?: (errors:)?/, '');
  if (problems === message) return message;
  return problems
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '')
    .map(line => {
      const [, field = '', what = ''] = /^\.?([^\s:]+(?:\[[^\]]*\][^\s:]*)*): (.*)$/.exec(line) ?? [];
      const wrong = /^expected (.+?),? got &value\.valueUnstructured\{Value:(.*)\}$/.exec(what);
      if (wrong) return `${field}: must be of type ${wrong[1]}, and is ${wrong[2]}`;
      return line;
    })
    .join('; ');
}

const MALFORMED = /^failed to (create typed patch object|convert new object) /;

/** The error class that fits an HTTP status and the Status object in its body. `after`: Retry-After in milliseconds. */
export function errorFor(request: string, status: number, body: StatusBody, after?: number): KubeError {
  const wait = after ?? (body.details?.retryAfterSeconds ? body.details.retryAfterSeconds * 1000 : undefined);
  switch (status) {
    case 401:
      return new UnauthorizedError(request, status, body);
    case 403:
      return new ForbiddenError(request, status, body);
    case 404:
      return new NotFoundError(request, status, body);
    case 409:
      if (body.reason === 'AlreadyExists') return new AlreadyExistsError(request, status, body);
      return new ConflictError(request, status, body);
    case 410:
      return new GoneError(request, status, body);
    case 422:
      return new InvalidError(request, status, body);
    case 429:
      return new TooManyRequestsError(request, status, body, wait ?? 1000);
    default:
      // An applied object that has not the form of its kind is refused with 500, as if the server had failed.
      if (status === 500 && MALFORMED.test(body.message ?? '')) return new InvalidError(request, status, body);
      return status >= 500 ? new ServerError(request, status, body, wait) : new KubeError(request, status, body);
  }
}

/** Thrown by a reconciler: trying again cannot help until the object changes. It is not retried. */
export class TerminalError extends Error {
  override name = 'TerminalError';
}
/** Thrown by a reconciler: something is away for now. Tried again with back-off. */
export class TransientError extends Error {
  override name = 'TransientError';
}
/** Thrown by a reconciler: tried again after `after` milliseconds; neither counted as a failure nor backed off. */
export class RateLimitedError extends Error {
  override name = 'RateLimitedError';
  readonly after: number;
  constructor(message: string, after: number, options?: ErrorOptions) {
    super(message, options);
    this.after = after;
  }
}
