import { randomUUID } from 'node:crypto';
import pino from 'pino';
import { NAMESPACES } from '../../operator/kube/builtin.ts';
import { Client } from '../../operator/kube/client.ts';
import type { Clock } from '../../operator/kube/clock.ts';
import { connectionSource } from '../../operator/kube/config.ts';
import { Http } from '../../operator/kube/http.ts';
import { createInstruments, type Instruments } from '../../operator/kube/instruments.ts';
import { ApiProxy } from './kube-api-proxy.ts';

export { CONFIG_MAPS, type ConfigMap, NAMESPACES } from '../../operator/kube/builtin.ts';

/** Creates separate counters and a silent log, unless LOG_LEVEL is set. */
export function instruments(clock?: Clock): Instruments {
  return createInstruments({ clock, log: pino({ level: process.env.LOG_LEVEL ?? 'silent' }) });
}

/** A namespace of the real API server, with an administrator's direct client and a client through a proxy that can fail. */
export interface KubeBed {
  readonly namespace: string;
  readonly direct: Client;
  readonly proxied: Client;
  readonly proxy: ApiProxy;
  stop(): Promise<void>;
}

/** `clock`: for the client behind the proxy. */
export async function kubeBed(kubeconfig: string, namespace: string, clock?: Clock): Promise<KubeBed> {
  const source = connectionSource({ kubeconfig });
  const proxy = await ApiProxy.start(source);
  const [directHttp, proxiedHttp] = [new Http(source), new Http(proxy.source, { clock })];
  const direct = new Client(directHttp, { fieldManager: 'test' });
  await direct.apply(NAMESPACES, { metadata: { name: namespace } });
  return {
    namespace,
    direct,
    proxied: new Client(proxiedHttp, { fieldManager: 'test-proxied' }),
    proxy,
    async stop() {
      await direct.delete(NAMESPACES, { name: namespace });
      await proxy.stop();
      await Promise.all([directHttp.close(), proxiedHttp.close()]);
    },
  };
}

/** The surroundings of a test of the Kubernetes client. */
export interface KubeTest {
  readonly bed: KubeBed;
  readonly namespace: string;
  /** Stops the work in `running`. */
  readonly stop: AbortController;
  /** Work that runs until `stop`. */
  readonly running: Promise<void>[];
  /** Ends the test: stops the work, waits for its end, and deletes the namespace. */
  end(): Promise<void>;
}

/** Starts a bed for one test, in a new namespace. */
export async function openKubeTest(kubeconfig: string, prefix: string): Promise<KubeTest> {
  const namespace = `${prefix}-${randomUUID().slice(0, 8)}`;
  const bed = await kubeBed(kubeconfig, namespace);
  const stop = new AbortController();
  const running: Promise<void>[] = [];
  const end = async () => {
    stop.abort();
    await Promise.all(running);
    await bed.stop();
  };
  return { bed, namespace, stop, running, end };
}

/** Polls until `condition` holds; rejects with `what` after `ms`. For conditions without a notification. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  ms = 100_000,
): Promise<void> {
  const end = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`did not happen within ${ms / 1000} s: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}
