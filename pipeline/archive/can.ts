import type { RawDocument, Reading } from './document.ts';
import { cutLines, LineCutter } from './lines.ts';
import { unlz4 } from './lz4.ts';
import { readTar } from './tar.ts';
import { YamlReport } from './yaml-report.ts';

/** Reads L5 in JSON: one report, one measurement per line. */
export async function* readJsonCan({ stored, maxBytes, counted }: Reading): AsyncGenerator<RawDocument[]> {
  yield* cutLines(counted(unlz4(stored)), new LineCutter(maxBytes));
}

/** Reads L5 in YAML: one report. */
export async function* readYamlCan({ stored, maxBytes, counted }: Reading): AsyncGenerator<RawDocument[]> {
  yield* readYaml(counted(unlz4(stored)), new YamlReport(maxBytes));
}

/**
 * Reads L4: a tar of reports in JSON lines or YAML. Other members are ignored. Numbers of lines and documents continue from report
 * to report.
 */
export async function* readTarCan({ stored, maxBytes, counted }: Reading): AsyncGenerator<RawDocument[]> {
  let line = 0;
  for await (const member of readTar(counted(unlz4(stored)))) {
    if (!member.isFile) continue;
    if (member.name.endsWith('.json')) {
      const lines = new LineCutter(maxBytes, line);
      yield* cutLines(member.bytes, lines);
      line = lines.line;
    } else if (member.name.endsWith('.yaml')) {
      const report = new YamlReport(maxBytes, line);
      yield* readYaml(member.bytes, report);
      line = report.documents;
    }
  }
}

async function* readYaml(bytes: AsyncIterable<Buffer>, report: YamlReport): AsyncGenerator<RawDocument[]> {
  for await (const chunk of bytes) yield report.push(chunk);
  yield report.end();
}
