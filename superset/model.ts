import { createHash } from 'node:crypto';

/** A column of a dataset. */
export interface Column {
  readonly name: string;
  /** ClickHouse type. Superset decides by it which filters and charts a column may have. */
  readonly type: string;
  /** Title that users see; absent: the name. */
  readonly label?: string;
  readonly description?: string;
  /** SQL of a column that Superset computes; absent: a column of the table. */
  readonly expression?: string;
}

/** A number that charts show, as an aggregate in SQL. */
export interface Metric {
  readonly label: string;
  readonly expression: string;
  /** D3 format, such as `,d`. */
  readonly format?: string;
  readonly description?: string;
}

/** A table, view or query that charts read. */
export interface Dataset {
  readonly name: string;
  readonly description: string;
  /** Column that the time filter of a dashboard restricts. */
  readonly timeColumn: string;
  readonly columns: readonly Column[];
  readonly metrics: Readonly<Record<string, Metric>>;
  /** Query of a virtual dataset; absent: `name` is a table or a view. */
  readonly sql?: string;
  /** Seconds for which Superset may show a stored result; absent: the default of the installation. */
  readonly cacheSeconds?: number;
}

/** A chart of a dashboard. */
export interface Chart {
  readonly title: string;
  /** Explanation that users see behind the information mark of the chart. */
  readonly description: string;
  readonly dataset: Dataset;
  /** Name of the visualisation in Superset. */
  readonly viz: string;
  readonly params: Readonly<Record<string, unknown>>;
}

/** A text in Markdown between the charts. */
export interface Text {
  readonly markdown: string;
}

/** A chart or text in a row. The widths of a row add up to 12. Heights are in units of 8 pixels. */
export interface Cell {
  readonly width: number;
  readonly height: number;
  readonly content: Chart | Text;
}

/** A native filter of a dashboard. It restricts every chart whose dataset has the column. */
export type Filter =
  | { readonly kind: 'time'; readonly title: string; readonly description: string }
  | { readonly kind: 'grain'; readonly title: string; readonly description: string; readonly dataset: Dataset }
  | {
      readonly kind: 'value';
      readonly title: string;
      readonly description: string;
      readonly dataset: Dataset;
      readonly column: string;
      /** One value at a time. The first value by `sortBy` is selected when the dashboard opens. */
      readonly single?: boolean;
      /** Metric of the dataset: values with the greatest come first. */
      readonly sortBy?: string;
    };

export interface Dashboard {
  readonly slug: string;
  readonly title: string;
  readonly description: string;
  readonly filters: readonly Filter[];
  readonly rows: readonly (readonly Cell[])[];
}

/** Namespace of the UUIDs below. It never changes: an import finds earlier objects by their UUID. */
const NAMESPACE = Buffer.from('6f6f6e69706970656c696e6573757073', 'hex');

/** Returns the UUID (version 5) of an object, which depends on its kind and key alone. */
export function uuid(kind: 'database' | 'dataset' | 'chart' | 'dashboard' | 'filter', key: string): string {
  const hash = createHash('sha1').update(NAMESPACE).update(`${kind}/${key}`).digest().subarray(0, 16);
  hash[6] = (hash[6]! & 0x0f) | 0x50;
  hash[8] = (hash[8]! & 0x3f) | 0x80;
  const hex = hash.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
