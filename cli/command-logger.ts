import type { Settings } from '../pipeline/settings.ts';
import { createLogger, type Logger } from '../pipeline/telemetry/log.ts';

/** Creates the logger of a command for people: they need the problems, not every step. A level that the user set explicitly is kept. */
export function createCommandLogger(name: string, settings: Pick<Settings, 'log_level' | 'log_format'>): Logger {
  return createLogger(name, {
    ...settings,
    log_level: settings.log_level === 'info' ? 'warn' : settings.log_level,
  });
}
