/** An answer of another system, or the reason why there is none. Unknown never counts as zero or absent. */
export type Observation<T> =
  | { readonly known: true; readonly value: T }
  | { readonly known: false; readonly message: string };
