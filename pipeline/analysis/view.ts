/** A view of ClickHouse, which answers a question about the verdicts. */
export interface View {
  readonly name: string;
  /** The question, for docs/verdicts.md. */
  readonly question: string;
  /** Columns that the view adds or counts, with their meaning. */
  readonly columns: Readonly<Record<string, string>>;
  readonly select: string;
}
