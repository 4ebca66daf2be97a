import pino from 'pino';
import pretty from 'pino-pretty';
import type { Settings } from './settings.ts';

export type Logger = pino.Logger;

/** Logs of a program: for people on a terminal, JSON lines otherwise, always on standard error so that output stays clean. */
export function createLogger(name: string, settings: Pick<Settings, 'log_level' | 'log_format'>): Logger {
  const human = settings.log_format === 'human' || (settings.log_format === 'auto' && process.stderr.isTTY);
  const options = { name, level: settings.log_level };
  if (!human) return pino(options, pino.destination({ dest: 2, sync: true }));
  return pino(options, pretty({ destination: 2, sync: true, ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss' }));
}
