import { linkCommands } from './command-links.ts';
import type { JaegerServer } from './jaeger.ts';
import type { Options } from './options.ts';
import { settingsOf } from './settings.ts';
import type { Servers, Stack } from './stack.ts';
import type { SupersetServer } from './superset.ts';

/** Servers that the user asked for by an option. */
export interface Extras {
  superset?: SupersetServer | undefined;
  jaeger?: JaegerServer | undefined;
}

/** Shows the addresses of the servers of a stack, and how to use kubectl. */
export function showAddresses(stack: Stack, options: Options, { superset, jaeger }: Extras): void {
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
  showKubectl(stack, options);
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
    for (const line of addressesOf(servers)) console.log(`  ${line}`);
  }
  if (jaeger) console.log(`  export TELEMETRY_ENDPOINT=${jaeger.endpoint}`);
  if (offset !== 0 || jaeger) console.log();
  console.log(`In another terminal:

  npx oonipipeline schedule --probe-cc US --test-name signal
  npx oonipipeline backfill --create-tables --probe-cc US --test-name signal --start-at 2024-01-01 --end-at 2024-02-01
  npx oonipipeline startworkers
`);
}

/** Shows how to use kubectl and the commands with a stack. Links the commands in its data directory. */
export function showKubectl(stack: Stack, { data, portOffset }: Options): void {
  // Those that `kubectl ooni doctor` and the commands would otherwise not find.
  const settings = [
    ...(portOffset !== 0 ? addressesOf(stack) : []),
    `export ARCHIVE_URL=${settingsOf(stack, undefined).archive_url}`,
  ];
  console.log(`
  export KUBECONFIG=${stack.kubernetes.kubeconfig}
  export PATH=${linkCommands(data)}:$PATH
${settings.map(line => `  ${line}\n`).join('')}  kubectl get ooni
  kubectl ooni status
`);
}

/** Returns the lines that set the addresses of servers on other ports than the usual ones. */
function addressesOf({ temporal, clickhouse }: Servers): string[] {
  return [
    `export TEMPORAL_ADDRESS=${temporal.address}`,
    // The user has the setting of a server that runs elsewhere.
    ...(clickhouse.process ? [`export CLICKHOUSE_URL=${clickhouse.url}`] : []),
  ];
}
