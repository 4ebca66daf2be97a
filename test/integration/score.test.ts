import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, inject, test } from 'vitest';
import { type Judged, judgeLabelled } from '../score/judge.ts';
import { report, scorecardOf } from '../score/report.ts';

const ROOT = join(import.meta.dirname, '../..');
/** With the collection beside the repository, the scorecard has its measurements; the fixtures have only some of them. */
const hasCollection = existsSync(join(ROOT, '../shared/data/expected'));
const page = scorecardOf(readFileSync(join(ROOT, 'docs/analysis-versions.md'), 'utf8'));

let judged: readonly Judged[];
beforeAll(async () => {
  judged = await judgeLabelled(inject('clickhouseUrl'));
});

/** Returns the rows of tables about the QA scenarios and the generated measurements, which every clone has. */
function fixedRows(scorecard: string): string[] {
  return scorecard.split('\n').filter(line => /^\| (QA scenarios|generated),/.test(line));
}

describe('the scorecard in docs/analysis-versions.md', () => {
  test('is what npm run score prints', () => {
    const printed = report(judged);
    expect(fixedRows(printed).length).toBeGreaterThan(0);
    expect(fixedRows(page)).toEqual(fixedRows(printed));
    if (hasCollection) expect(page).toBe(printed);
  });

  test('version 3 judges every QA scenario and every generated measurement right', () => {
    const wrong = judged.filter(({ set, version, isRight }) => version === 3 && !set.startsWith('real') && !isRight);
    expect(wrong.map(({ label, got }) => `${label.kind}: ${got}`)).toEqual([]);
  });
});
