import { NotFoundError } from '../operator/kube/errors.ts';

/** Returns an error that says that a namespace does not exist. */
export function missingNamespace(name: string): NotFoundError {
  return new NotFoundError(`namespace/${name}`, 404, {
    message: 'the cluster has no such namespace; kubectl get namespaces lists them',
  });
}

/** Returns the answer of the API server to a write into a namespace that does not exist as an error with a sentence; other errors as they are. */
export function withNamespaceNamed(error: unknown): unknown {
  const name = error instanceof NotFoundError && /: namespaces "([^"]+)" not found$/.exec(error.message)?.[1];
  return name ? missingNamespace(name) : error;
}
