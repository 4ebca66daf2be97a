import type { DnsQuery } from '../measurement/model.ts';
import { normaliseFailure } from './failures.ts';
import { hostForm } from './host-form.ts';

/** One answer of a query, or a query without an answer (observations.md section 6.2). Field names are column names without `dns_`. */
export interface DnsObservation {
  readonly hostname: string;
  /** Null if the document does not show it. */
  readonly query_type: string | null;
  readonly failure: string | null;
  readonly engine: string | null | undefined;
  readonly engine_resolver_address: string | null | undefined;
  readonly answer_type: string | undefined;
  readonly answer: string | null;
  readonly answer_asn: number | null;
  readonly answer_as_org_name: string | null;
  readonly t: number | null | undefined;
  readonly transaction_id: number | null | undefined;
  readonly tags: readonly unknown[] | null | undefined;
}

/** Makes the observations of the queries, in order. */
export function observeDns(queries: readonly DnsQuery[] | null | undefined): DnsObservation[] {
  const observations: DnsObservation[] = [];
  if (!queries) return observations;
  for (const query of queries) {
    const hostname = hostForm(query.hostname);
    const failure = normaliseFailure(query.failure);
    const answers = query.answers && query.answers.length > 0 ? query.answers : NONE;
    for (const answer of answers) {
      observations.push({
        hostname,
        query_type: query.query_type,
        failure,
        engine: query.engine,
        engine_resolver_address: query.resolver_address,
        answer_type: answer?.answer_type,
        answer: answer && (answer.ipv4 || answer.ipv6 || answer.hostname || null),
        // No AS has a negative number. A probe that writes one does not know the AS.
        answer_asn: answer && Math.max(answer.asn || 0, 0),
        answer_as_org_name: answer && (answer.as_org_name || ''),
        t: query.t,
        transaction_id: query.transaction_id,
        tags: query.tags,
      });
    }
  }
  return observations;
}

const NONE = [null];
