import { S3ServiceException } from '@aws-sdk/client-s3';
import { tlsProblem } from '../tls-problem.ts';
import {
  type ArchiveError,
  ArchiveMissingError,
  ArchiveUnavailableError,
  ObjectChangedError,
  ObjectMissingError,
} from './archive.ts';

/** Target of a request: an object by its key, or a listing by its prefix. */
export type RequestTarget = { readonly key: string } | { readonly prefix: string };

/**
 * Converts the error of a failed request. The SDK has already retried all errors that it can retry. The result includes messages of
 * the server, which contain no credentials.
 */
export function toArchiveError(error: unknown, url: string, target: RequestTarget): ArchiveError {
  if (!(error instanceof S3ServiceException)) {
    return new ArchiveUnavailableError(`${url} does not answer: ${messageOf(error)}`, { cause: error });
  }
  const status = error.$metadata.httpStatusCode ?? 0;
  const detail = `${error.name}: ${error.message}`;
  const key = 'key' in target ? target.key : target.prefix;
  // A listing of a prefix without objects is empty, not 404. So a 404 for a listing means that the bucket does not exist.
  if (error.name === 'NoSuchBucket' || (status === 404 && 'prefix' in target)) {
    return new ArchiveMissingError(
      `the archive ${url} does not exist; check archive_url and archive_endpoint. ${detail}`,
    );
  }
  if (status === 404) return new ObjectMissingError(`${key} is no longer in ${url}: ${detail}`);
  if (status === 412 || status === 416) {
    return new ObjectChangedError(`${key} changed since it was listed; list the bucket again. ${detail}`);
  }
  if (status === 301 || status === 307 || error.name === 'AuthorizationHeaderMalformed') {
    return new ArchiveMissingError(
      `the archive ${url} is in another region; check archive_region and archive_endpoint. ${detail}`,
    );
  }
  if (status === 400 || status === 401 || status === 403) {
    return new ArchiveMissingError(
      `the archive ${url} may not be read; check archive_access_key_id and archive_secret_access_key, which stay empty for a public bucket. ${detail}`,
    );
  }
  return new ArchiveUnavailableError(`${url} answered ${status} for ${key}: ${detail}`, { cause: error });
}

/** Returns the message of an error. Network errors that combine several (one for each address) have no message of their own. */
function messageOf(error: unknown): string {
  const problem = tlsProblem(error);
  if (problem !== undefined) return problem;
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message || error.name : String(error);
}
