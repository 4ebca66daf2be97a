import { type AnalysedDays, AnalysisAgainError, analyseDays } from '../../pipeline/analysis/analyse.ts';
import type { AnalysisOptions } from '../../pipeline/analysis/steps.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import type { Logger } from '../../pipeline/telemetry/log.ts';

/** Judges one day, with this generation or a greater one. */
export async function analyseDay(
  clickhouse: ClickHouse,
  options: Omit<AnalysisOptions, 'days' | 'runID'> & { readonly day: string },
  log: Logger,
  signal?: AbortSignal,
): Promise<AnalysedDays> {
  const { day, ...rest } = options;
  for (let { generation } = options; ; generation++) {
    try {
      const tools = { clickhouse, log, signal };
      return await analyseDays(tools, { ...rest, generation, runID: 'by-hand', days: [day] });
    } catch (error) {
      if (!(error instanceof AnalysisAgainError && error.exchanged)) throw error;
    }
  }
}
