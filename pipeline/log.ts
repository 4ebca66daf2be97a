import pino from 'pino';
import pretty from 'pino-pretty';
import type { Settings } from './settings.ts';

export type Logger = pino.Logger;

/** Logs of a program: for people on a terminal, JSON lines otherwise, always on standard error so that output stays clean. */
export function createLogger(name: string, settings: Pick<Settings, 'log_level' | 'log_format'>): Logger {
  const human = settings.log_format === 'human' || (settings.log_format === 'auto' && process.stderr.isTTY);
  const options = {
    name,
    level: settings.log_level,
    // Words and times for people, who read JSON lines too: `kubectl logs` shows them as they are.
    formatters: { level: (label: string) => ({ level: label }) },
    timestamp: pino.stdTimeFunctions.isoTime,
    // The SDK of Temporal names its errors `error`.
    serializers: { err: pino.stdSerializers.err, error: errorFields },
  };
  if (!human) return pino(options, pino.destination({ dest: 2, sync: true }));
  return pino(options, pretty({ destination: 2, sync: true, ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss' }));
}

/** An error without its stack, and what caused it; other values as they are. */
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
