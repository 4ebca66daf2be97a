import { RUNS, VERDICTS } from './datasets.ts';
import type { Dataset, Filter } from './model.ts';

export const TIME: Filter = {
  kind: 'time',
  title: 'Time',
  description: 'Days of measurement, UTC. A range keeps queries fast: without one, all verdicts are read.',
};

export const BUCKET_TIME: Filter = { kind: 'time', title: 'Buckets', description: 'Upload days or hours, UTC.' };

/** The length of time of one bar or one field. */
export function grain(dataset: Dataset): Filter {
  return { kind: 'grain', title: 'Time step', description: 'Length of time of one bar or field.', dataset };
}

/** Returns the filter for the country of the probe. `single`: exactly one country. */
export function country(options: { single?: boolean } = {}): Filter {
  const description = options.single
    ? 'Country of the probe. The first one has the most measurements.'
    : 'Countries of the probes; empty: all.';
  return {
    kind: 'value',
    title: 'Country',
    description,
    dataset: VERDICTS,
    column: 'probe_cc',
    sortBy: 'n_measurements',
    ...options,
  };
}

/** Returns the filter for the network of the probe. `single`: exactly one network. */
export function network(options: { single?: boolean } = {}): Filter {
  const description = options.single
    ? 'Number of the network of the probe (ASN). The first one has the most measurements.'
    : 'Numbers of the networks of the probes (ASN); empty: all.';
  return {
    kind: 'value',
    title: 'ASN',
    description,
    dataset: VERDICTS,
    column: 'probe_asn',
    sortBy: 'n_measurements',
    ...options,
  };
}

/** `dataset` decides what a domain is: the host that was asked for, or each host that was met. */
export function domain(dataset: Dataset, options: { single?: boolean } = {}): Filter {
  const description = options.single
    ? 'Host that was measured, also behind a redirect. The first one was blocked in the most measurements.'
    : 'Hosts that were measured; empty: all.';
  return { kind: 'value', title: 'Domain', description, dataset, column: 'domain', sortBy: 'n_blocked', ...options };
}

export const TEST: Filter = {
  kind: 'value',
  title: 'Test',
  description: 'Tests of OONI Probe; empty: all.',
  dataset: VERDICTS,
  column: 'test_name',
  sortBy: 'n_measurements',
};

/** Returns a filter for the values of a column of the ledger. */
export function runColumn(title: string, column: string, description: string): Filter {
  return { kind: 'value', title, description, dataset: RUNS, column, sortBy: 'n_runs' };
}
