import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, inject, test } from 'vitest';
import { type Judged, judgeLabelled } from '../score/judge.ts';
import { report, scorecardOf } from '../score/report.ts';

const ROOT = join(import.meta.dirname, '../..');
/**
 * The scorecard in the page is that of the collection. Of its measurements, a clone without the collection has only the generated ones in
 * full.
 */
const hasCollection = existsSync(join(ROOT, '../shared/data/expected'));
const page = scorecardOf(readFileSync(join(ROOT, 'docs/analysis-versions.md'), 'utf8'));

let judged: readonly Judged[];
beforeAll(async () => {
  judged = await judgeLabelled(inject('clickhouseUrl'));
});

/** Returns the rows of the tables about generated measurements. */
function generatedRows(scorecard: string): string[] {
  return scorecard.split('\n').filter(line => line.startsWith('| generated,'));
}

describe('the scorecard in docs/analysis-versions.md', () => {
  test('is what npm run score prints', () => {
    const printed = report(judged);
    expect(generatedRows(printed).length).toBeGreaterThan(0);
    expect(generatedRows(page)).toEqual(generatedRows(printed));
    if (hasCollection) expect(page).toBe(printed);
  });

  test('version 3 judges every QA scenario and every generated measurement right', () => {
    const wrong = judged.filter(({ set, version, isRight }) => version === 3 && !set.startsWith('real') && !isRight);
    expect(wrong.map(({ label, got }) => `${label.kind}: ${got}`)).toEqual([]);
  });
});
