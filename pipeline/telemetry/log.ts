import pino from 'pino';
import pretty from 'pino-pretty';
import type { Settings } from '../settings.ts';
import { currentTraceParent } from './spans.ts';
import { currentWork } from './work-context.ts';

export type Logger = pino.Logger;

/** Creates the logger of a program: text on a terminal, otherwise JSON lines, always on standard error so that output stays clean. */
export function createLogger(name: string, settings: Pick<Settings, 'log_level' | 'log_format'>): Logger {
  const human = settings.log_format === 'human' || (settings.log_format === 'auto' && process.stderr.isTTY);
  const options = {
    name,
    level: settings.log_level,
    // Levels as words and times as text, because people read JSON lines too: `kubectl logs` shows them unchanged.
    formatters: { level: (label: string) => ({ level: label }) },
    timestamp: pino.stdTimeFunctions.isoTime,
    mixin: () => {
      const trace = currentTraceParent()?.split('-')[1];
      return { ...currentWork(), ...(trace && { trace_id: trace }) };
    },
    // The Temporal SDK logs its errors under the key `error`.
    serializers: { err: pino.stdSerializers.err, error: errorFields },
  };
  if (!human) return pino(options, pino.destination({ dest: 2, sync: true }));
  const hooks = { streamWrite: withVisibleControls };
  return pino(
    { ...options, hooks },
    pretty({
      destination: 2,
      sync: true,
      ignore: 'pid,hostname,resource,range,bucket,filter,stage,run,trace_id',
      translateTime: 'SYS:HH:MM:ss',
    }),
  );
}

/**
 * Writes control characters and marks of text direction in the strings of a JSON line as escapes such as `\u001b`, because a terminal would
 * interpret them. Line ends and tabs stay. A message may contain text that a probe has sent.
 */
function withVisibleControls(line: string): string {
  return line
    .replace(/\\(u(?:00[01789][0-9a-f])|.)/gi, (escaped, what: string) =>
      what.length > 1 || 'bfr'.includes(what) ? `\\${escaped}` : escaped,
    )
    .replace(
      /(?!\n)[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu,
      character => `\\\\u${character.codePointAt(0)!.toString(16).padStart(4, '0')}`,
    );
}

/** Returns the fields of an error and its cause, without the stack. Returns other values unchanged. */
function errorFields(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { type, cause } = error as Error & { type?: unknown };
  return {
    name: error.name,
    ...(typeof type === 'string' && { type }),
    message: error.message,
    ...(cause !== undefined && { cause: errorFields(cause) }),
  };
}
