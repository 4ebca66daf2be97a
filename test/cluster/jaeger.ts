import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from '../../local/programs.ts';
import { until } from './command.ts';
import { type Kube, RELEASE } from './kube.ts';
import type { Place } from './place.ts';

const SERVICE = `${RELEASE}-ooni-pipeline-jaeger`;
/** User of the image of Jaeger. */
const USER = 10001;
/** Spans of a Backfill that are in its trace, from the operator to the analysis. */
const SPANS = [
  'reconcile Backfill',
  'workflow BackfillWorkflow',
  'workflow BucketWorkflow',
  'activity observeBatch',
  'insert obs_web',
  'judge days',
];

/**
 * Brings the image of Jaeger onto the nodes of a cluster that cannot pull it: its program alone, as in the public image. Returns false where
 * this machine has no such program, whose build takes ten minutes.
 */
export async function jaegerImage(place: Place, name: string): Promise<boolean> {
  if (place.pullsPublicImages) return true;
  const program = findProgram('jaeger');
  if (!program) return false;
  const context = mkdtempSync(join(tmpdir(), 'ooni-jaeger-image-'));
  try {
    copyFileSync(program.path, join(context, 'jaeger'));
    writeFileSync(
      join(context, 'Dockerfile'),
      `FROM scratch\nCOPY jaeger /cmd/jaeger\nUSER ${USER}\nENTRYPOINT ["/cmd/jaeger"]\n`,
    );
    await place.image(name, join(context, 'Dockerfile'), context);
    return true;
  } finally {
    rmSync(context, { recursive: true });
  }
}

interface Span {
  readonly spanID: string;
  readonly operationName: string;
  readonly references: readonly { readonly spanID: string }[];
}

/**
 * Reads the trace of a Backfill from the query API of the pod of Jaeger. Throws an error unless it is one tree, which leads from the
 * operator to the analysis and has the given number of buckets.
 */
export async function traceOf(kube: Kube, backfill: string, buckets: number): Promise<string> {
  const { url, stop } = await kube.forward(SERVICE, 16686);
  const ask = async (path: string) => {
    const answer = await fetch(`${url}/api/traces${path}`);
    if (!answer.ok) return [];
    return ((await answer.json()) as { data: { traceID: string; spans: Span[] }[] }).data;
  };
  try {
    const query = new URLSearchParams({
      service: 'ooni-operator',
      operation: 'reconcile Backfill',
      tags: JSON.stringify({ 'ooni.name': backfill }),
    });
    return await until(
      `a whole trace of the Backfill ${backfill} in Jaeger`,
      async () => {
        // Other passes over the Backfill have traces of their own.
        const traces = await ask(`?${query}`);
        const whole = traces.find(({ spans }) => SPANS.every(name => count(spans, name) > 0));
        if (!whole) throw new Error(`it has ${traces.map(({ spans }) => names(spans)).join('; ') || 'no trace'}`);
        const { spans } = whole;
        const found = count(spans, 'workflow BucketWorkflow');
        if (found !== buckets) throw new Error(`it has ${found} buckets instead of ${buckets}`);
        const known = new Set(spans.map(({ spanID }) => spanID));
        const outside = spans.filter(({ references: [parent] }) => !parent || !known.has(parent.spanID));
        if (outside.length !== 1) throw new Error(`it has ${outside.length} roots: ${names(outside)}`);
        return `${spans.length} spans of ${found} buckets below "${outside[0]!.operationName}"`;
      },
      120,
    );
  } finally {
    await stop();
  }
}

function count(spans: readonly Span[], name: string): number {
  return spans.filter(({ operationName }) => operationName === name).length;
}

function names(spans: readonly Span[]): string {
  return [...new Set(spans.map(({ operationName }) => operationName))].join(', ');
}
