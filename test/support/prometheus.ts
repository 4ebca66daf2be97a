import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { supervise } from '../../local/process.ts';
import { programPath } from '../../local/programs.ts';
import { freePort } from '../../pipeline/free-port.ts';

/** A series or a sample as Prometheus's HTTP API returns it. */
export interface Result {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [time: number, value: string];
}

interface RuleGroup {
  readonly rules: readonly { readonly name: string; readonly health: string; readonly lastError?: string }[];
}

/** A Prometheus server that scrapes programs every second, and evaluates rules. */
export class Prometheus {
  readonly #url: string;
  readonly stop: () => Promise<void>;

  private constructor(url: string, stop: () => Promise<void>) {
    this.#url = url;
    this.stop = stop;
  }

  /** Starts it on the folder `dir`. `targets` are host:port by job. Throws StartError if it does not start. */
  static async start(dir: string, targets: Readonly<Record<string, string>>, ruleFile: string): Promise<Prometheus> {
    const config = join(dir, 'prometheus.json');
    // JSON is YAML.
    writeFileSync(
      config,
      JSON.stringify({
        global: { scrape_interval: '1s', evaluation_interval: '1s' },
        rule_files: [ruleFile],
        scrape_configs: Object.entries(targets).map(([job, target]) => ({
          job_name: job,
          // As in the chart: the labels namespace and name of the metrics are those of a resource; other metrics have the namespace of their pod.
          honor_labels: true,
          static_configs: [{ targets: [target], labels: { namespace: 'ooni', pod: job } }],
        })),
      }),
    );
    const address = `127.0.0.1:${await freePort()}`;
    const server = await supervise({
      name: 'prometheus',
      command: programPath('prometheus'),
      args: [
        `--config.file=${config}`,
        `--storage.tsdb.path=${join(dir, 'data')}`,
        `--web.listen-address=${address}`,
        '--log.level=warn',
      ],
      dir,
    });
    const url = `http://${address}`;
    try {
      await server.waitFor(async () => {
        const answer = await fetch(`${url}/-/ready`).catch(() => undefined);
        return answer?.ok === true;
      }, 60_000);
    } catch (error) {
      await server.stop();
      throw error;
    }
    return new Prometheus(url, () => server.stop());
  }

  /** Evaluates an instant query. Throws with Prometheus's message if it cannot. */
  async query(expression: string): Promise<Result[]> {
    const { result } = await this.#get<{ result: Result[] }>('/api/v1/query', { query: expression });
    return result;
  }

  /** Returns the names of all metrics that the scraped programs describe, also of those that have no samples. */
  async metricNames(): Promise<string[]> {
    return Object.keys(await this.#get<Record<string, unknown>>('/api/v1/metadata'));
  }

  /** Returns the alert rules after their last evaluation. */
  async rules(): Promise<RuleGroup['rules']> {
    const { groups } = await this.#get<{ groups: RuleGroup[] }>('/api/v1/rules');
    return groups.flatMap(({ rules }) => rules);
  }

  async #get<T>(path: string, params: Record<string, string> = {}): Promise<T> {
    const answer = await fetch(`${this.#url}${path}?${new URLSearchParams(params)}`);
    const body = (await answer.json()) as { status: string; data: T; error?: string };
    if (body.status !== 'success') throw new Error(`${path} ${JSON.stringify(params)}: ${body.error}`);
    return body.data;
  }
}
