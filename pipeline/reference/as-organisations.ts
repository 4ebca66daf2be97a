import { z } from 'zod';
import { sentence } from '../sentence.ts';
import { type Limits, type Parsed, type Problem, ReferenceDataError } from './dataset.ts';

/** A row of `asnmeta`. */
export interface AsOrganisation {
  readonly asn: number;
  readonly org_name: string;
  readonly cc: string;
  /** YYYY-MM-DD */
  readonly changed: string;
  readonly aut_name: string;
  readonly source: string;
}

export const AS_LIMITS: Limits = { above: 100_000, below: 1_000_000 };

/** One state of an autonomous system: `[organisation, country, changed, as name, registry]` (observations.md section 4). */
const entry = z.tuple([z.string(), z.string(), z.string()]).rest(z.string());

/**
 * Reads `all_as_org_map.json` of the archive.org item ip2country-as: AS number -> the states of its organisation. An entry with an
 * invalid date, such as the text `latest`, is reported as a problem and omitted; it aborted the Python updater (ooni/data#164).
 * Throws ReferenceDataError for a file that is not such JSON.
 */
export function readAsOrganisations(bytes: Uint8Array): Parsed<AsOrganisation> {
  const file = 'all_as_org_map.json';
  let map: unknown;
  try {
    map = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    if (!(error instanceof SyntaxError) && !(error instanceof TypeError)) throw error;
    throw new ReferenceDataError(`${file} is not JSON: ${sentence(error.message)} Nothing was changed.`);
  }
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw new ReferenceDataError(`${file} is not a map from AS number to its history. Nothing was changed.`);
  }
  const rows: AsOrganisation[] = [];
  const problems: Problem[] = [];
  for (const [key, value] of Object.entries(map)) {
    const asn = Number(key.replace(/^AS/i, ''));
    const where = `${file} AS ${key}`;
    if (!Number.isInteger(asn) || asn < 0 || asn > 0xffffffff) {
      problems.push({ where, what: 'the key is not an AS number' });
      continue;
    }
    for (const each of Array.isArray(value) ? value : [value]) {
      const state = entry.safeParse(each);
      if (!state.success) {
        problems.push({ where, what: 'an entry that is not [organisation, country, changed, as name, registry]' });
        continue;
      }
      const [org_name, cc, date, aut_name = '', source = ''] = state.data;
      const changed = dateOf(date);
      if (!changed) {
        problems.push({ where, what: `"${date}" is not a date` });
        continue;
      }
      rows.push({ asn, org_name, cc, changed, aut_name, source });
    }
  }
  return { rows, problems };
}

function dateOf(text: string): string | undefined {
  const found = /^(\d{4})-?(\d{2})-?(\d{2})$/.exec(text);
  if (!found) return undefined;
  const date = `${found[1]}-${found[2]}-${found[3]}`;
  const parsed = new Date(`${date}T00:00:00Z`);
  return !Number.isNaN(parsed.getTime()) && parsed.toISOString().startsWith(date) ? date : undefined;
}
