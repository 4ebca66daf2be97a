import { Connection, Client as TemporalClient } from '@temporalio/client';
import { expect, inject } from 'vitest';
import { BACKFILLS } from '../../operator/controllers/resources.ts';
import type { Client } from '../../operator/kube/client.ts';
import { Cable } from './kubeconfig-proxies.ts';
import {
  adminClient,
  ConditionWatch,
  installCrds,
  makeOperatorAccount,
  makeTemporalNamespace,
  NAMESPACES,
  OperatorProcess,
  waitForOwners,
} from './operator.ts';

/**
 * An operator with a namespace in Kubernetes and one in Temporal, both with the same name, and clients of both for the test. The operator
 * reaches Temporal through `cable`; the test reaches it directly.
 */
export class OperatorBed {
  readonly kubeconfig = inject('kubeconfig');
  readonly temporalAddress = inject('temporalAddress');
  readonly namespace: string;
  readonly client: Client;
  readonly conditions: ConditionWatch;
  readonly cable: Cable;
  /** Settings of the operator. Changes apply to operators that are started later. */
  readonly env: Record<string, string>;
  #operator: OperatorProcess | undefined;
  #temporal: TemporalClient | undefined;

  constructor(namespace: string, env: Readonly<Record<string, string>> = {}) {
    this.namespace = namespace;
    this.client = adminClient(this.kubeconfig);
    this.conditions = new ConditionWatch(this.client, namespace);
    this.cable = new Cable(this.temporalAddress);
    this.env = {
      TEMPORAL_NAMESPACE: namespace,
      OPERATOR_NAMESPACES: namespace,
      OPERATOR_LEASE_NAMESPACE: namespace,
      ...env,
    };
  }

  /** The operator that was started last. */
  get operator(): OperatorProcess {
    if (!this.#operator) throw new Error('no operator was started yet');
    return this.#operator;
  }

  get temporal(): TemporalClient {
    if (!this.#temporal) throw new Error('the namespaces do not exist yet: call prepare() or start() first');
    return this.#temporal;
  }

  /** Creates the resource definitions, both namespaces and the operator's account, without an operator. */
  async prepare(): Promise<void> {
    const { client, kubeconfig, namespace, temporalAddress: address } = this;
    await installCrds(client);
    this.env.KUBECONFIG ??= await makeOperatorAccount(client, kubeconfig, namespace, this.env);
    await waitForOwners(this.env.KUBECONFIG, namespace);
    await makeTemporalNamespace(address, namespace);
    this.env.TEMPORAL_ADDRESS ??= await this.cable.start();
    this.#temporal = new TemporalClient({ connection: await Connection.connect({ address }), namespace });
  }

  startOperator(): OperatorProcess {
    this.#operator = new OperatorProcess(this.env);
    return this.#operator;
  }

  /** Prepares everything and starts an operator. */
  async start(): Promise<void> {
    await this.prepare();
    this.startOperator();
  }

  /**
   * Ends the operator and removes the namespace. Expects that the operator ended well unless a test killed it, that its permissions
   * sufficed, and that all conditions were well formed at all times.
   */
  async stop(): Promise<void> {
    const { client, namespace } = this;
    const running = this.#operator?.running === true;
    const status = await this.#operator?.stop();
    this.cable.stop();
    await this.#temporal?.connection.close();
    await this.conditions.stop();
    // No operator runs that could remove the finalizers.
    for (const object of await client.list(BACKFILLS, { namespace })) {
      await client.patch(BACKFILLS, object.metadata, { metadata: { finalizers: null } });
    }
    await client.delete(NAMESPACES, { name: namespace });
    await client.http.close();
    if (running) expect(status).toBe(0);
    expect(this.conditions.problems).toEqual([]);
    expect(this.#operator?.output ?? '').not.toContain('forbidden');
  }
}
