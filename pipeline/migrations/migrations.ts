import observations from './001-observations.ts';
import analysis from './002-analysis.ts';
import ledger from './003-ledger.ts';
import reference from './004-reference.ts';
import views from './005-views.ts';
import resultPartitions from './006-result-partitions.ts';
import uids from './007-uids.ts';
import outcomes from './008-outcomes.ts';
import responses from './009-responses.ts';
import httpLayer from './010-http-layer.ts';
import targets from './011-targets.ts';
import tunnels from './012-tunnels.ts';
import transactions from './013-transactions.ts';
import comparisons from './014-comparisons.ts';
import type { Migration } from './migration.ts';

/** All migrations, in order. A new migration has its own file and the next number. A released migration is not changed. */
export const MIGRATIONS: readonly Migration[] = [
  observations,
  analysis,
  ledger,
  reference,
  views,
  resultPartitions,
  uids,
  outcomes,
  responses,
  httpLayer,
  targets,
  tunnels,
  transactions,
  comparisons,
];
