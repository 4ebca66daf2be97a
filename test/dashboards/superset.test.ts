import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ClickHouseServer, startClickHouse } from '../../local/clickhouse.ts';
import { StartError } from '../../local/process.ts';
import { type SupersetServer, startSuperset } from '../../local/superset.ts';
import { obtainSuperset } from '../../local/superset-venv.ts';
import { Terminal } from '../../local/terminal.ts';
import { freePort } from '../../pipeline/free-port.ts';
import { chartsOf, DASHBOARDS } from '../../superset/bundle.ts';
import { Browser } from '../support/browser.ts';
import { type Chromium, obtainChromium } from '../support/chromium.ts';

/**
 * Opens every dashboard in a browser, over measurements of the repository. With SCREENSHOTS=docs/images it reads all measurements and writes
 * the images of the documentation there.
 */
const run = promisify(execFile);
const WIDTH = 1440;
const IMAGES = process.env.SCREENSHOTS;
/** Days with each outcome, each layer, failed measurements, tunnels, and the speeds of networks. */
const RANGES = IMAGES
  ? [['2012-01-01', '2026-01-01']]
  : [
      ['2020-01-10', '2020-03-03'],
      ['2023-11-27', '2023-11-29'],
      ['2022-11-10', '2022-11-22'],
      ['2019-04-07', '2019-04-08'],
    ];

let dir: string;
let clickhouse: ClickHouseServer;
let superset: SupersetServer;
let browser: Browser;
let python: string;
/** Reason why this machine cannot run these tests. */
let missing: string | undefined;

async function select(query: string): Promise<string> {
  const response = await fetch(clickhouse.url, { method: 'POST', body: query });
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return text.trim();
}

beforeAll(async () => {
  const chromium = await obtainChromium();
  if (typeof chromium === 'string') {
    missing = chromium;
    return;
  }
  try {
    python = await obtainSuperset({ terminal: new Terminal() });
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    missing = error.message;
    return;
  }
  await start(chromium);
}, 1_800_000);

async function start(chromium: Chromium): Promise<void> {
  dir = mkdtempSync(join(tmpdir(), 'ooni-superset-'));
  delete process.env.CLICKHOUSE_URL;
  clickhouse = await startClickHouse({ dir: join(dir, 'clickhouse') });
  for (const [from, to] of RANGES) {
    const args = [
      'run',
      '--clickhouse',
      clickhouse.url,
      '--archive',
      'test/fixtures/archive',
      '--start-at',
      from!,
      '--end-at',
      to!,
    ];
    const fingerprints = ['--fingerprints', 'test/fixtures/fingerprints/fingerprints_dns.csv'];
    await run(process.execPath, ['cli/main.ts', ...args, ...fingerprints], { maxBuffer: 1 << 26 });
  }
  superset = await startSuperset({
    python,
    dir: join(dir, 'superset'),
    port: await freePort(),
    clickhouseUrl: clickhouse.url,
  });
  browser = await Browser.start(chromium, WIDTH, 4_000);
  await logIn();
}

async function logIn(): Promise<void> {
  await browser.open(`${superset.url}/login/`);
  await browser.until(`document.querySelector('[data-test=login-button]')`, 240_000);
  await browser.type('[data-test=username-input]', superset.username);
  await browser.type('[data-test=password-input]', superset.password);
  await browser.evaluate(`document.querySelector('[data-test=login-button]').click()`);
  await browser.until(`!location.pathname.startsWith('/login')`, 240_000);
  // The page of the login ends requests when it is left.
  browser.errors.length = 0;
}

afterAll(async () => {
  await browser?.close();
  await superset?.stop();
  await clickhouse?.stop();
  if (dir) rmSync(dir, { recursive: true, force: true });
}, 120_000);

/** Charts of the page: title, and what is drawn. */
const DRAWN = `[...document.querySelectorAll('.dashboard-component-chart-holder:has([data-test-chart-name])')].map(holder => ({
  title: holder.querySelector('[data-test-chart-name]').getAttribute('data-test-chart-name'),
  drawn: holder.querySelectorAll('canvas, svg.datamap path, tbody tr').length > 0 || Boolean(holder.querySelector('.header-line')?.textContent.trim()),
  problem: holder.querySelector('.ant-alert, [data-test=alert], .ant-empty')?.textContent ?? '',
}))`;

describe('the dashboards', { timeout: 900_000 }, () => {
  test.for(DASHBOARDS.map(dashboard => [dashboard.slug, dashboard] as const))(
    '%s shows data in each chart',
    async ([slug, dashboard], { skip }) => {
      if (missing) skip(missing);
      const titles = chartsOf(dashboard).map(({ chart }) => chart.title);
      browser.errors.length = 0;
      await browser.open(`${superset.url}/superset/dashboard/${slug}/`);
      await browser.until(
        `(charts => charts.length === ${titles.length} && charts.every(chart => chart.drawn || chart.problem))(${DRAWN})`,
        400_000,
        `JSON.stringify(${DRAWN})`,
      );
      await browser.until(`!document.querySelector('[data-test=loading-indicator]')`, 100_000);
      const charts = await browser.evaluate<{ title: string; drawn: boolean; problem: string }[]>(DRAWN);
      expect(charts.map(({ title }) => title).sort()).toEqual([...titles].sort());
      expect(charts.filter(({ drawn, problem }) => !drawn || problem)).toEqual([]);
      expect(browser.errors).toEqual([]);
      if (IMAGES) await photograph(slug);
    },
  );

  test('show the numbers of ClickHouse', async ({ skip }) => {
    if (missing) skip(missing);
    const number = (title: string) =>
      browser.evaluate<string>(
        `[...document.querySelectorAll('.dashboard-component-chart-holder')].find(holder => holder.querySelector('[data-test-chart-name="${title}"]')).querySelector('.header-line').textContent.trim()`,
      );
    await browser.open(`${superset.url}/superset/dashboard/ooni-overview/`);
    await browser.until(`document.querySelectorAll('.header-line').length === 6`, 400_000);
    const outcome = (word: string) => select(`SELECT countIf(outcome = '${word}') FROM measurement_verdicts`);
    expect(await number('Blocked')).toBe(await outcome('blocked'));
    expect(await number('Measurements')).toBe(await select('SELECT count() FROM analysis_web_measurement FINAL'));
    expect(await number('Confirmed')).toBe('1');
  });

  test('are imported again without a second copy', async ({ skip }) => {
    if (missing) skip(missing);
    const before = await listed();
    expect(before).toEqual(DASHBOARDS.map(({ title }) => title).sort());
    await superset.stop();
    const options = { python, dir: join(dir, 'superset'), port: await freePort(), clickhouseUrl: clickhouse.url };
    superset = await startSuperset(options);
    // The session lasts: the key that signs it is kept, and a browser sends its cookie to every port of the host.
    await browser.open(`${superset.url}/superset/welcome/`);
    await browser.until(
      `location.pathname.startsWith('/superset/welcome') && document.readyState === 'complete'`,
      240_000,
    );
    expect(await listed()).toEqual(before);
  });

  test('store neither the address nor the password of ClickHouse', async ({ skip }) => {
    if (missing) skip(missing);
    const query =
      "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT sqlalchemy_uri, password FROM dbs').fetchall())";
    const { stdout } = await run(python, ['-c', query, join(dir, 'superset/superset.db')]);
    expect(stdout.trim()).toBe("[('clickhousedb://clickhouse.invalid:8123/default', None)]");
  });

  test('cannot change data, neither from a chart nor from SQL Lab', async ({ skip }) => {
    if (missing) skip(missing);
    const query = 'CREATE TABLE made_by_superset (a UInt8) ENGINE = Memory';
    const code = `
      (async () => {
        const token = (await (await fetch('/api/v1/security/csrf_token/')).json()).result;
        const answer = await fetch('/api/v1/sqllab/execute/', {
          method: 'POST',
          headers: { 'Content-Type': 'application/json', 'X-CSRFToken': token },
          body: JSON.stringify({ database_id: 1, sql: ${JSON.stringify(query)}, runAsync: false }),
        });
        return answer.status;
      })()`;
    expect(await browser.evaluate<number>(code)).toBeGreaterThanOrEqual(400);
    expect(await select("SELECT count() FROM system.tables WHERE name = 'made_by_superset'")).toBe('0');
  });
});

/** Titles of all dashboards, in order. */
function listed(): Promise<string[]> {
  return browser.evaluate(`fetch('/api/v1/dashboard/?q=(page_size:100)').then(response => response.json())
    .then(({ result }) => result.map(dashboard => dashboard.dashboard_title).sort())`);
}

/** Writes an image of the page in half its size and with 128 colours, because the repository keeps it. */
async function photograph(slug: string): Promise<void> {
  const height = await browser.evaluate<number>(
    `Math.ceil(Math.max(...[...document.querySelectorAll('.dashboard-component-chart-holder')].map(holder => holder.getBoundingClientRect().bottom))) + 24`,
  );
  const file = join(IMAGES!, `${slug}.png`);
  writeFileSync(file, await stillImage(height));
  const shrink = `import sys; from PIL import Image; image = Image.open(sys.argv[1]).convert("RGB")
image = image.resize((1000, image.height * 1000 // image.width), Image.LANCZOS).quantize(128)
image.save(sys.argv[1], optimize=True)`;
  await run(python, ['-c', shrink, file]);
}

/** Returns an image of the page once two in a row are equal, because charts grow when they appear. */
async function stillImage(height: number): Promise<Buffer> {
  let before = await browser.screenshot(WIDTH, height);
  for (let looks = 0; looks < 100; looks++) {
    await setTimeout(200);
    const image = await browser.screenshot(WIDTH, height);
    if (image.equals(before)) return image;
    before = image;
  }
  throw new Error('the page does not stop moving');
}
