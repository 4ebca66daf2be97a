import observations from './migrations/001-observations.ts';
import analysis from './migrations/002-analysis.ts';
import ledger from './migrations/003-ledger.ts';
import reference from './migrations/004-reference.ts';
import views from './migrations/005-views.ts';
import resultPartitions from './migrations/006-result-partitions.ts';
import uids from './migrations/007-uids.ts';
import outcomes from './migrations/008-outcomes.ts';
import type { Migration } from './migrations/migration.ts';

/** All migrations, in order. A new one gets a file of its own and the next number; what has been released is not changed. */
export const MIGRATIONS: readonly Migration[] = [
  observations,
  analysis,
  ledger,
  reference,
  views,
  resultPartitions,
  uids,
  outcomes,
];
