/** A view: a question people ask of the verdicts, as SQL. */
export interface View {
  readonly name: string;
  /** The question, for docs/verdicts.md. */
  readonly question: string;
  /** Columns it adds or counts, with their meaning. */
  readonly columns: Readonly<Record<string, string>>;
  readonly select: string;
}
