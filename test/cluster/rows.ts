/** Tables whose rows a repeated run must give again, with the columns that differ from run to run. */
const TABLES: Readonly<Record<string, readonly string[]>> = {
  obs_web: ['run_generation', 'created_at'],
  obs_web_ctrl: ['run_generation', 'created_at'],
  obs_http_middlebox: ['run_generation', 'created_at'],
  obs_tunnel: ['run_generation', 'created_at'],
  obs_performance: ['run_generation', 'created_at'],
  analysis_web_measurement: ['run_generation', 'analysis_runtime_ms', 'created_at'],
  measurement_experiment_result: ['run_generation', 'created_at', 'timeofday'],
};

/** Number of rows and checksum of their contents, by table. */
export type Rows = Readonly<Record<string, { readonly rows: number; readonly checksum: string }>>;

/** Runs a query. Returns its rows. Throws with ClickHouse's message. */
export async function query<T>(url: string, statement: string): Promise<T[]> {
  const response = await fetch(url, { method: 'POST', body: `${statement} FORMAT JSONEachRow` });
  const answer = await response.text();
  if (!response.ok) throw new Error(`ClickHouse: ${answer.slice(0, 500)}`);
  return answer
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line) as T);
}

/** Returns the rows of a database at this moment, without the duplicates that a merge would remove. */
export async function rowsOf(url: string, database: string): Promise<Rows> {
  const counted: Record<string, { rows: number; checksum: string }> = {};
  for (const [table, varying] of Object.entries(TABLES)) {
    const present = await query<{ name: string }>(
      url,
      `SELECT name FROM system.columns WHERE database = '${database}' AND table = '${table}' ORDER BY name`,
    );
    const columns = present.map(({ name }) => name).filter(name => !varying.includes(name));
    if (columns.length === 0) throw new Error(`${database}.${table} does not exist`);
    const [found] = await query<{ rows: string | number; checksum: string }>(
      url,
      `SELECT count() AS rows, toString(sum(cityHash64(toString(tuple(${columns.join(', ')}))))) AS checksum FROM ${database}.${table} FINAL`,
    );
    counted[table] = { rows: Number(found!.rows), checksum: found!.checksum };
  }
  return counted;
}

/** Throws an error that names each table in which two sets of rows differ. */
export function sameRows(found: Rows, expected: Rows): void {
  const different = Object.keys(expected).filter(
    table => found[table]?.rows !== expected[table]!.rows || found[table]?.checksum !== expected[table]!.checksum,
  );
  if (different.length === 0) return;
  const shown = different.map(table => {
    const [one, other] = [found[table], expected[table]!];
    const kind = one?.rows === other.rows ? 'other contents' : `${one?.rows} rows instead of ${other.rows}`;
    return `${table}: ${kind}`;
  });
  throw new Error(shown.join('; '));
}

/** Returns the counts as text. */
export function shown(rows: Rows): string {
  return Object.entries(rows)
    .map(([table, { rows: count }]) => `${table} ${count.toLocaleString('en')}`)
    .join(', ');
}
