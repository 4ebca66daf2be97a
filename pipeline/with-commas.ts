/**
 * Returns a number, not below zero, with commas between thousands and at most one decimal: `1,234.5`. `toLocaleString` would load the languages
 * of ICU, 8 MB of a process that lives for months.
 */
export function withCommas(value: number): string {
  const [whole = '', decimal] = String(Number.isInteger(value) ? value : Math.round(value * 10) / 10).split('.');
  const text = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return decimal === undefined ? text : `${text}.${decimal}`;
}
