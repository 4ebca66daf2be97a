/** A field that the API server rejected. */
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

/** A failed request to the API server. `request` is "METHOD /path"; an error never contains headers or bodies. */
export class KubeError extends Error {
  override name = 'KubeError';
  readonly request: string;
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** Machine-readable reason of the API server, for example "AlreadyExists"; empty when it gave none. */
  readonly reason: string;
  constructor(request: string, status: number, body: StatusBody, options?: ErrorOptions) {
    super(`${request}: ${body.message || `HTTP ${status}`}`, options);
    this.request = request;
    this.status = status;
    this.reason = body.reason ?? '';
  }
}

/**
 * No complete answer: the connection was refused, reset, timed out or cut. It is unknown whether a write took effect. Every write of ours
 * can be repeated, so the remedy is to observe and retry.
 */
export class UnreachableError extends KubeError {
  override name = 'UnreachableError';
  constructor(request: string, message: string, options?: ErrorOptions) {
    super(request, 0, { message, reason: 'Unreachable' }, options);
  }
}
/** A stream was silent for longer than a working one may be, and is treated as dead. */
export class SilentError extends UnreachableError {
  override name = 'SilentError';
}
/** 401, after the credentials were read again once. */
export class UnauthorizedError extends KubeError {
  override name = 'UnauthorizedError';
}
/** 403: our account lacks a permission. */
export class ForbiddenError extends KubeError {
  override name = 'ForbiddenError';
}
/**
 * 403 of an object with an owner whose kind is new: the admission plugin of the server does not know the kind yet. It looks for new kinds twice
 * a minute.
 */
export class OwnerUnknownError extends KubeError {
  override name = 'OwnerUnknownError';
}
/** 404: the object or the kind does not exist. */
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
/**
 * 422, or 500 when the form of the object does not fit its kind: the server rejects the object. `causes` names the fields if the server
 * does.
 */
export class InvalidError extends KubeError {
  override name = 'InvalidError';
  readonly causes: readonly InvalidCause[];
  /** Description of the invalid fields for people, without the request and without Go syntax. */
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
/** 429: the server did nothing and asks for a retry after `after` milliseconds. */
export class TooManyRequestsError extends KubeError {
  override name = 'TooManyRequestsError';
  readonly after: number;
  constructor(request: string, status: number, body: StatusBody, after: number) {
    super(request, status, body);
    this.after = after;
  }
}
/** 5xx: the server failed. `after` is its Retry-After in milliseconds, if it sent one. */
export class ServerError extends KubeError {
  override name = 'ServerError';
  readonly after: number | undefined;
  constructor(request: string, status: number, body: StatusBody, after?: number) {
    super(request, status, body);
    this.after = after;
  }
}

/** Returns the milliseconds of a Retry-After header in seconds (the API server sends no dates); undefined without a header. */
export function retryAfter(header: string | string[] | undefined): number | undefined {
  const seconds = Number(Array.isArray(header) ? header[0] : header);
  return header !== undefined && header !== '' && Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
}

/**
 * Returns a readable text for a server that could not parse an applied object. Its own text has types of its code: `.spec.replicas:
 * expected numeric (int or float), got &value.valueUnstructured{Value:"x"}`. Other texts are returned unchanged.
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
      if (what === 'field not declared in schema') return `${field}: Kubernetes does not have this field`;
      const wrong = /^expected (.+?),? got &(?:value\.valueUnstructured)?\{(?:Value:)?(.*)\}$/.exec(what);
      if (!wrong) return line;
      const [, expected = '', value = ''] = wrong;
      const must = `${field}: must be ${FORMS[expected] ?? `of type ${expected}`}`;
      // Lists and objects are in Go's syntax.
      return /^(\[|map\[)/.test(value) ? must : `${must}, and is ${value}`;
    })
    .join('; ');
}

/** Forms of a value as the server names them, in words. */
const FORMS: Readonly<Record<string, string>> = {
  string: 'a string',
  'numeric (int or float)': 'a number',
  boolean: 'true or false',
  map: 'an object',
  list: 'a list',
};

const MALFORMED = /^failed to (create typed patch object|convert new object) /;

const OWNER_UNKNOWN = /cannot find RESTMapping for APIVersion /;

/** Returns the error class for an HTTP status and the Status object in its body. `after`: Retry-After in milliseconds. */
export function errorFor(request: string, status: number, body: StatusBody, after?: number): KubeError {
  const wait = after ?? (body.details?.retryAfterSeconds ? body.details.retryAfterSeconds * 1000 : undefined);
  switch (status) {
    case 401:
      return new UnauthorizedError(request, status, body);
    case 403:
      if (OWNER_UNKNOWN.test(body.message ?? '')) return new OwnerUnknownError(request, status, body);
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
      // The server answers 500, as if it had failed, to an applied object that does not have the form of its kind.
      if (status === 500 && MALFORMED.test(body.message ?? '')) return new InvalidError(request, status, body);
      return status >= 500 ? new ServerError(request, status, body, wait) : new KubeError(request, status, body);
  }
}

/** Thrown by a reconciler when a retry cannot succeed until the object changes. It is not retried. */
export class TerminalError extends Error {
  override name = 'TerminalError';
}
/** Thrown by a reconciler when another system is unavailable. It is retried with back-off. */
export class TransientError extends Error {
  override name = 'TransientError';
}
/** Thrown by a reconciler that needs a retry after `after` milliseconds. It does not count as a failure and has no back-off. */
export class RateLimitedError extends Error {
  override name = 'RateLimitedError';
  readonly after: number;
  constructor(message: string, after: number, options?: ErrorOptions) {
    super(message, options);
    this.after = after;
  }
}
