import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import loadWabt from 'wabt';

const SOURCE = 'pipeline/measurement/scanner.wat';

/** Assembles the scanner. */
export async function scannerCode(): Promise<string> {
  const wabt = await loadWabt();
  const module = wabt.parseWat(SOURCE, readFileSync(join(import.meta.dirname, '..', SOURCE), 'utf8'), { simd: true });
  module.validate();
  const { buffer } = module.toBinary({});
  module.destroy();
  const lines = Buffer.from(buffer)
    .toString('base64')
    .match(/.{1,110}/g)!;
  return `// Made of scanner.wat by \`npm run generate\`.

/** WebAssembly, in base64. */
export const SCANNER = [
${lines.map(line => `  '${line}',\n`).join('')}].join('');
`;
}
