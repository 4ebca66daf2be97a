/** Returns a message, also one of another program, as a sentence, so that another sentence can follow it. */
export function sentence(message: string): string {
  const text = clause(message);
  return /[!?]$/.test(text) ? text : `${text}.`;
}

/** Returns a message, also one of another program, without the full stop at its end, so that its sentence can continue. */
export function clause(message: string): string {
  return message.trimEnd().replace(/\.$/, '');
}
