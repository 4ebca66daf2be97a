import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { VIEWS } from '../pipeline/analysis/views.ts';
import { MIGRATIONS } from '../pipeline/migrations/migrations.ts';
import { ALL_TABLES } from '../pipeline/tables/all-tables.ts';

/** File of the record, relative to the root. */
export const SCHEMA_RECORD = 'pipeline/migrations/schema.json';

/** Tables and views of a version of the database. */
export interface SchemaRecord {
  /** Number of the newest migration. */
  readonly migration: number;
  /** Types of the columns, by table and column. */
  readonly tables: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** SHA-1 of the statement, by view. */
  readonly views: Readonly<Record<string, string>>;
}

/** Returns the record of the present code. */
export function presentSchema(): SchemaRecord {
  return {
    migration: Math.max(...MIGRATIONS.map(({ number }) => number)),
    tables: Object.fromEntries(ALL_TABLES.map(({ name, columns }) => [name, Object.fromEntries(columns)])),
    views: Object.fromEntries(VIEWS.map(({ name, select }) => [name, createHash('sha1').update(select).digest('hex')])),
  };
}

/**
 * Returns the tables and views that differ from the record without a newer migration. An empty database gets them from the code, but an
 * existing one gets a change only by a migration.
 */
export function changedWithoutMigration(recorded: SchemaRecord, present: SchemaRecord): string[] {
  if (present.migration > recorded.migration) return [];
  const changed = (kind: 'tables' | 'views') =>
    Object.keys({ ...recorded[kind], ...present[kind] }).filter(
      name => JSON.stringify(recorded[kind][name]) !== JSON.stringify(present[kind][name]),
    );
  return [...changed('tables'), ...changed('views')];
}

/** Returns the text of the record. Throws for a change without a migration. */
export function schemaRecord(): string {
  const path = join(import.meta.dirname, '..', SCHEMA_RECORD);
  const present = presentSchema();
  if (existsSync(path)) {
    const changed = changedWithoutMigration(JSON.parse(readFileSync(path, 'utf8')) as SchemaRecord, present);
    if (changed.length > 0) {
      const next = String(present.migration + 1).padStart(3, '0');
      throw new Error(
        `${changed.join(', ')} changed without a migration, so existing databases would not get the change. Add pipeline/migrations/${next}-<name>.ts and list it in migrations.ts. If the newest migration makes the change and is not released yet, delete ${SCHEMA_RECORD} and run "npm run generate".`,
      );
    }
  }
  return `${JSON.stringify(present, null, 2)}\n`;
}
