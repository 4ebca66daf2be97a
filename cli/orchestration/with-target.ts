import { loadSettings, type Settings } from '../../pipeline/settings.ts';
import type { Logger } from '../../pipeline/telemetry/log.ts';
import { createCommandLogger } from '../command-logger.ts';
import { withExitStatus } from '../exit-status.ts';
import { printable } from '../printable.ts';
import type { Target, TargetOptions } from './target.ts';

/** Runs work with the target of the options, and says which target it is. */
export function withTarget(
  name: string,
  options: TargetOptions,
  work: (context: { target: Target; settings: Settings; log: Logger }) => Promise<number>,
): Promise<void> {
  const expected: (abstract new (...args: never[]) => Error)[] = [];
  return withExitStatus(
    name,
    async () => {
      const settings = loadSettings();
      const log = createCommandLogger(name, settings);
      const { openTarget, ORCHESTRATION_ERRORS } = await import('./target.ts');
      expected.push(...ORCHESTRATION_ERRORS);
      const target = await openTarget(settings, options, log);
      try {
        console.error(printable(`oonipipeline ${name}: uses ${target.description}`));
        return await work({ target, settings, log });
      } catch (error) {
        throw (await import('../missing-namespace.ts')).withNamespaceNamed(error);
      } finally {
        await target.close();
      }
    },
    { expected },
  );
}
