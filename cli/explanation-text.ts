import type { ExplainedLayer, ExplainedRow, Explanation, Row } from '../pipeline/analysis/explain.ts';
import { GRADES } from '../pipeline/analysis/judgement.ts';
import { NO_MATCH, RULES } from '../pipeline/analysis/rules.ts';
import { counted } from '../pipeline/counts.ts';
import { widthOf } from './width.ts';

const WIDTH = 100;

/** Formats an explanation as text: the observations, the control, and how each rule contributes to the verdict. */
export function explanationText(explanation: Explanation): string {
  return [
    ...measurementLines(explanation),
    '',
    ...verdictLines(explanation),
    '',
    'OBSERVATIONS',
    ...explanation.observations.flatMap(observationLines),
    '',
    ...controlLines(explanation),
    ...explanation.layers.flatMap(layer => ['', ...layerLines(layer, explanation)]),
    '',
  ].join('\n');
}

function measurementLines({ measurement: m }: Explanation): string[] {
  const network = (asn: unknown, name: unknown) => `AS${asn}${name ? ` ${name}` : ''}`;
  return [
    `${m.measurement_uid}`,
    ...wrapped(`${m.test_name} ${m.test_version} of ${m.input ?? 'no input'}`, 2),
    ...wrapped(
      `${m.measurement_start_time} UTC from ${m.probe_cc}, ${network(m.probe_asn, m.probe_as_org_name)}, resolver ${network(m.resolver_asn, m.resolver_as_org_name)}, by ${m.software_name} ${m.software_version}`,
      2,
    ),
    // Explorer does not know the ids that the pipeline made itself for old measurements. They begin with 01.
    ...(/^20\d{12}/.test(String(m.measurement_uid)) ? [`  https://explorer.ooni.org/m/${m.measurement_uid}`] : []),
  ];
}

function verdictLines({ layers, rulesVersion, stored, differs, verdict }: Explanation): string[] {
  const fingerprints = verdict.fingerprints_version ? `, fingerprints ${verdict.fingerprints_version}` : '';
  return [
    `VERDICT, by version ${rulesVersion} of the rules${fingerprints}`,
    `  layer${GRADES.map(grade => grade.padStart(9)).join('')}  rule`,
    ...layers.flatMap(({ layer, winner }) => {
      const grades = GRADES.map(grade => winner.grades[grade].toFixed(2).padStart(9)).join('');
      const rule = [...RULES[rulesVersion][layer], NO_MATCH].find(({ id }) => id === winner.rule);
      return [
        `  ${layer.padEnd(5)}${grades}  ${winner.rule}`,
        ...wrapped(`${rule?.meaning} (${rowsText(winner.observations)})`, 36),
      ];
    }),
    ...hostLines(verdict),
    ...storedLines(stored, differs),
  ];
}

/** Lists the outcome of the measurement and, if it has several hosts, of each host. */
function hostLines(verdict: Row): string[] {
  const hosts = (verdict.hosts ?? []) as string[];
  const words = (verdict.host_outcomes ?? []) as string[];
  const layers = (verdict.host_layers ?? []) as string[];
  const each = hosts.map((host, index) => `${host} ${words[index]}${layers[index] ? ` (${layers[index]})` : ''}`);
  return [
    ...wrapped(`Outcome: ${verdict.outcome}${hosts.length > 1 ? `, of ${each.join(', ')}` : ''}.`, 2),
    ...(verdict.ip_metadata_missing
      ? wrapped(
          'IP metadata is missing: the networks of the addresses are unknown, so answers were not compared by network.',
          2,
        )
      : []),
  ];
}

function storedLines(stored: Row | null, differs: readonly string[]): string[] {
  if (!stored) return ['  No verdict is stored yet.'];
  const made = `made ${new Date(Number(stored.run_generation)).toISOString()} by version ${stored.analysis_rules_version}`;
  if (differs.length === 0) return [`  The stored verdict, ${made}, is the same.`];
  return wrapped(
    `The stored verdict, ${made}, differs in ${differs.join(', ')}: its control or fingerprints have changed since, or the rules are others.`,
    2,
  );
}

function observationLines(row: Row): string[] {
  const place = [
    row.hostname ?? '-',
    row.ip && row.ip !== row.hostname ? `at ${row.ip}` : '',
    row.port ? `port ${row.port}` : '',
  ]
    .filter(Boolean)
    .join(' ');
  const parts = [
    row.ip && (row.ip_asn || row.ip_as_org_name) ? `AS${row.ip_asn} ${row.ip_as_org_name ?? ''}`.trim() : '',
    row.ip_is_bogon ? 'a bogon' : '',
    dnsText(row),
    row.tcp_failure ? `connect failed: ${row.tcp_failure}` : row.tcp_success === 1 ? 'connected' : '',
    tlsText(row),
    httpText(row),
  ];
  return [`  row ${row.observation_idx}: ${place}`, ...wrapped(parts.filter(Boolean).join('; '), 6)];
}

function dnsText(row: Row): string {
  if (!row.dns_query_type && !row.dns_failure && !row.dns_answer) return '';
  const how = `${row.dns_query_type ?? 'lookup'} by ${row.dns_engine ?? 'an engine not named'}`;
  return row.dns_failure ? `${how} failed: ${row.dns_failure}` : `${how} answered ${row.dns_answer ?? 'nothing'}`;
}

function tlsText(row: Row): string {
  if (row.tls_failure) return `handshake failed: ${row.tls_failure}`;
  if (row.tls_is_certificate_valid === 1) return 'handshake with a valid certificate';
  return row.tls_is_certificate_valid === 0 ? 'handshake, certificate not valid' : '';
}

function httpText(row: Row): string {
  if (!row.http_request_url) return '';
  const fingerprints = (row.http_fingerprints ?? []) as string[];
  const status = row.http_response_status_code;
  const differing = COMPARED.filter(([column]) => row[column] === 0).map(([, name]) => name);
  const isCompared = !row.http_failure && COMPARED.some(([column]) => row[column] != null);
  return [
    `HTTP ${row.http_failure ? `failed: ${row.http_failure}` : (status ?? 'ok')} (${row.http_request_url})`,
    row.http_response_header_location ? `redirects to ${row.http_response_header_location}` : '',
    row.http_response_title ? `title "${row.http_response_title}"` : '',
    fingerprints.length > 0 ? `fingerprints ${fingerprints.join(', ')}` : '',
    row.http_failure ? transferText(row) : '',
    isCompared ? `compared with the control by the probe: ${differing.join(', ') || 'nothing'} differs` : '',
  ]
    .filter(Boolean)
    .join('; ');
}

function transferText(row: Row): string {
  const times = (row.transfer_t ?? []) as number[];
  const bytes = (row.transfer_bytes ?? []) as number[];
  if (times.length === 0) return '';
  return `the connection had received ${bytes.at(-1)!.toLocaleString('en')} bytes after ${times.at(-1)!.toFixed(1)} s`;
}

/** Columns of the probe's comparison with the control. */
const COMPARED = [
  ['probe_status_code_match', 'the status code'],
  ['probe_title_match', 'the title'],
  ['probe_body_length_match', 'the length'],
  ['probe_headers_match', 'the header names'],
] as const;

function controlLines({ control, day }: Explanation): string[] {
  const lines = [`CONTROL of ${day}, from all measurements of that day`];
  for (const host of control.hosts) {
    if (host.measurements === undefined) {
      lines.push(`  ${host.hostname}: not looked up`);
      continue;
    }
    lines.push(
      ...wrapped(
        `${host.hostname}: ${counted(Number(host.dns_success), 'row')} with an answer, ${host.dns_failure} with a failed lookup, from ${counted(Number(host.measurements), 'measurement')}`,
        2,
      ),
    );
    const shown = control.endpoints.filter(row => row.hostname === host.hostname);
    const head = ['answered', 'tcp ok', 'failed', 'tls ok', 'failed'];
    if (shown.length > 0)
      lines.push(
        `    ${'address, port (* met by the measurement)'.padEnd(48)}${head.map(text => text.padStart(9)).join('')}`,
      );
    for (const row of shown) {
      const address = `${row.met ? '*' : ' '} ${row.ip} ${row.port ?? ''}`;
      const figures = [row.dns_success, row.tcp_success, row.tcp_failing, row.tls_success, row.tls_failing];
      lines.push(`    ${address.padEnd(48)}${figures.map(figure => String(figure).padStart(9)).join('')}`);
      const failures = [...(row.tcp_failures as string[]), ...(row.tls_failures as string[])];
      if (failures.length > 0) lines.push(...wrapped(`failures: ${failures.join(', ')}`, 8));
    }
    const hidden = Number(host.addresses) - new Set(shown.map(row => row.ip)).size;
    if (hidden > 0) lines.push(`      and ${hidden} addresses more`);
  }
  for (const row of control.vouched) {
    lines.push(
      ...wrapped(
        `${row.ip} proved itself as ${row.hostname} with a valid certificate in ${counted(Number(row.measurements), 'measurement')} of the day`,
        2,
      ),
    );
  }
  return lines;
}

function layerLines({ layer, rows, winner }: ExplainedLayer, { rulesVersion }: Explanation): string[] {
  const list = RULES[rulesVersion][layer];
  const width = Math.max(...list.map(({ id }) => id.length)) + 2;
  const lines = [
    `${layer.toUpperCase()}, rule by rule (> decides; the rule that stands for the measurement: ${winner.rule})`,
  ];
  for (const alike of Map.groupBy(rows, row => JSON.stringify([row.signals, row.conditions])).values()) {
    const [row] = alike as [ExplainedRow];
    lines.push(`  ${rowsText(alike.map(each => each.observation_idx))}: ${row.rule}`);
    lines.push(
      ...wrapped(
        Object.entries(row.signals)
          .map(([name, value]) => `${name}=${shown(value)}`)
          .join(', '),
        6,
      ),
    );
    for (const { id, when } of list) {
      const holds = row.conditions[id];
      const word = holds === null ? 'null' : holds ? 'yes' : 'no';
      const [first, ...rest] = wrapped(when, width + 12);
      lines.push(
        `    ${id === row.rule ? '>' : ' '} ${word.padEnd(4)}  ${id.padEnd(width)}${first?.trimStart()}`,
        ...rest,
      );
    }
  }
  return lines;
}

function shown(value: unknown): string {
  if (value === null) return 'null';
  return typeof value === 'number' ? String(Number(value.toFixed(4))) : String(value);
}

function rowsText(indices: readonly number[]): string {
  if (indices.length === 0) return 'no row';
  return `${indices.length === 1 ? 'row' : 'rows'} ${indices.join(', ')}`;
}

/** Wraps text into indented lines of at most WIDTH columns. A longer word stays whole: it may be a URL to click. */
function wrapped(text: string, indent: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent + widthOf(line) + 1 + widthOf(word) > WIDTH) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  if (line !== '') lines.push(line);
  return lines.map(each => ' '.repeat(indent) + each);
}
