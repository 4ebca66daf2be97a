import { linkCommands } from './command-links.ts';
import type { JaegerServer } from './jaeger.ts';
import type { Servers, Stack } from './stack.ts';
import type { SupersetServer } from './superset.ts';

/** Servers that the user asked for by an option. */
export interface Extras {
  superset?: SupersetServer | undefined;
  jaeger?: JaegerServer | undefined;
}

/** Shows the addresses of the servers of a stack with its data in `data`, and how to use kubectl. */
export function showAddresses(stack: Stack, data: string, { superset, jaeger }: Extras): void {
  const lines: [string, string][] = [
    ['Temporal UI', stack.temporal.uiUrl ?? ''],
    ['Temporal', stack.temporal.address],
    ['ClickHouse', stack.clickhouse.process ? stack.clickhouse.url : stack.clickhouse.source],
    ['Kubernetes', stack.kubernetes.url],
  ];
  console.log('\nWhere to look');
  if (superset) console.log(supersetLine(superset));
  if (jaeger) console.log(jaegerLine(jaeger));
  for (const [name, address] of lines) console.log(`  ${name.padEnd(16)}${address}`);
  showKubectl(stack.kubernetes.kubeconfig, data);
}

/** Returns a line with the address and the account of Superset. */
function supersetLine({ url, username, password }: SupersetServer): string {
  return `  Superset        ${url}  (${username} / ${password})`;
}

/** Returns a line with the address of Jaeger. */
function jaegerLine({ url, hasUI }: JaegerServer): string {
  return `  Traces          ${url}${hasUI ? '' : '  (the query API only: Jaeger was built from its Go module, which does not contain the UI)'}`;
}

/** Shows the addresses of the servers, and the commands that use them. Ports other than the usual ones need settings. */
export function showCommands(servers: Servers, { superset, jaeger }: Extras, offset: number): void {
  const { temporal, clickhouse } = servers;
  console.log('\nWhere to look');
  if (superset) console.log(supersetLine(superset));
  if (jaeger) console.log(jaegerLine(jaeger));
  console.log(`  Temporal UI     ${temporal.uiUrl ?? ''}`);
  console.log(`  Temporal        ${temporal.address}`);
  console.log(`  ClickHouse      ${clickhouse.process ? clickhouse.url : clickhouse.source}\n`);
  if (offset !== 0) {
    console.log(`  export TEMPORAL_ADDRESS=${temporal.address}`);
    if (clickhouse.process) console.log(`  export CLICKHOUSE_URL=${clickhouse.url}`);
  }
  if (jaeger) console.log(`  export TELEMETRY_ENDPOINT=${jaeger.endpoint}`);
  if (offset !== 0 || jaeger) console.log();
  console.log(`In another terminal:

  npx oonipipeline schedule --probe-cc US --test-name signal
  npx oonipipeline backfill --create-tables --probe-cc US --test-name signal --start-at 2024-01-01 --end-at 2024-02-01
  npx oonipipeline startworkers
`);
}

/** Shows how to use kubectl and its plugin with a kubeconfig. Links both in the data directory. */
export function showKubectl(kubeconfig: string, data: string): void {
  console.log(`
  export KUBECONFIG=${kubeconfig}
  export PATH=${linkCommands(data)}:$PATH
  kubectl get ooni
  kubectl ooni status
`);
}
