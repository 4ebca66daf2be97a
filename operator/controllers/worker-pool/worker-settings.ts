import { hashOf } from '../../hash.ts';
import { CONFIG_MAPS, type ConfigMap, SECRETS, type Secret } from '../../kube/builtin.ts';
import { Cache, type CacheOptions } from '../../kube/cache.ts';
import type { Client } from '../../kube/client.ts';
import { keyOf } from '../../kube/resource.ts';
import type { PodSettings } from './deployment.ts';

/**
 * The ConfigMap and the Secret that give worker pods their environment. A pod reads them at its start, so the operator replaces the pods when
 * they change.
 */
export class WorkerSettings {
  readonly #configMaps: Cache<ConfigMap> | undefined;
  readonly #secrets: Cache<Secret> | undefined;

  constructor(
    client: Client,
    { worker_config_map: configMap, worker_secret: secret }: PodSettings,
    scope: Pick<CacheOptions, 'instruments' | 'namespaces'>,
  ) {
    // The permission to read them covers only these names, and the server grants a list only with this selector.
    const named = (name: string) => ({ ...scope, fieldSelector: `metadata.name=${name}` });
    if (configMap) this.#configMaps = new Cache(client, CONFIG_MAPS, named(configMap));
    if (secret) this.#secrets = new Cache(client, SECRETS, named(secret));
  }

  get caches(): readonly (Cache<ConfigMap> | Cache<Secret>)[] {
    return [this.#configMaps, this.#secrets].filter(cache => cache !== undefined);
  }

  /**
   * Returns a hash of the settings of the pods in a namespace; undefined while they cannot be read. The uid of the Secret is a part of it, so
   * that equal secrets of two installations have different hashes.
   */
  hashIn(namespace: string, settings: PodSettings): string | undefined {
    if (this.caches.some(cache => !cache.synced)) return undefined;
    const configMap = this.#configMaps?.get(keyOf({ name: settings.worker_config_map, namespace }));
    const secret = this.#secrets?.get(keyOf({ name: settings.worker_secret, namespace }));
    return hashOf([configMap?.data, configMap?.binaryData, secret?.metadata.uid, secret?.data]);
  }
}
