import { spawn } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { doubledWait } from '../../pipeline/back-off.ts';
import { makeDirectory } from '../../pipeline/directories.ts';
import { findOnPath, startTime } from '../process.ts';
import { ContainerConfigError } from './environment.ts';
import { LogFile } from './log-file.ts';
import { wireTime } from './pod-status.ts';
import { type Action, type ActionTarget, act, watchProbe } from './probe.ts';
import type { Container, ContainerState, ContainerStatus } from './resources.ts';

/** A process to start. */
export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
}

/** The node has no program for this image. */
export class ImageError extends Error {
  override name = 'ImageError';
}

export interface ContainerOptions {
  readonly container: Container;
  readonly restartPolicy: string;
  readonly podIP: string;
  /** Folder of this container's logs and pid file. */
  readonly dir: string;
  /** Container status from before this node started, so that counts continue. */
  readonly before?: ContainerStatus;
  /** Milliseconds that a process gets to end after a liveness failure. */
  readonly grace: number;
  /** Returns the process to start. Throws ContainerConfigError or ImageError. */
  prepare(): Promise<Launch>;
  /** Called after each change of `status`. */
  changed(): void;
  event(type: 'Normal' | 'Warning', reason: string, note: string): void;
}

/** Wait in milliseconds before the n-th successive restart: none before the first, then doubling. A run of `forgetAfter` resets it. */
const BACKOFF = { initial: 1_000, longest: 60_000, forgetAfter: 600_000 };
/** First and longest wait in milliseconds before a retry for a container that cannot be configured. */
const RETRY_CONFIG = { initial: 250, longest: 5_000 };

/** Runs one container of a pod as a process: starts, probes, restarts and stops it as its specification requires. */
export class ContainerRunner {
  readonly #options: ContainerOptions;
  readonly #stop = new AbortController();
  #state: ContainerState = { waiting: { reason: 'ContainerCreating' } };
  #lastState: ContainerState = {};
  #restarts: number;
  #started = false;
  #ready = false;
  #log: LogFile | undefined;
  #previousLog: string | undefined;
  #pid: number | undefined;
  #launch: Launch | undefined;
  #exited: Promise<void> = Promise.resolve();
  #ended: Promise<void> = Promise.resolve();
  #grace = 0;
  #run = 0;

  constructor(options: ContainerOptions) {
    this.#options = options;
    const before = options.before;
    this.#restarts = before?.restartCount ?? 0;
    // It ran when the node stopped. For the API it ended then, and it is restarted now.
    if (before?.state?.running) {
      this.#restarts++;
      const { startedAt } = before.state.running;
      const finishedAt = wireTime();
      this.#lastState = {
        terminated: { exitCode: 137, reason: 'Error', message: 'The node was restarted', startedAt, finishedAt },
      };
    } else if (before?.lastState) {
      this.#lastState = before.lastState;
    }
    this.#run = this.#restarts;
  }

  get name(): string {
    return this.#options.container.name;
  }

  get running(): boolean {
    return this.#state.running !== undefined;
  }

  /** True if the container has started and passed its startup probe, if it has one. */
  get started(): boolean {
    return this.#started;
  }

  /** The log of the current or last run. */
  get log(): LogFile | undefined {
    return this.#log;
  }

  /** The path of the log of the previous run. */
  get previousLog(): string | undefined {
    return this.#previousLog;
  }

  get status(): ContainerStatus {
    return {
      name: this.name,
      image: this.#options.container.image ?? '',
      imageID: '',
      ready: this.#ready,
      started: this.#started,
      restartCount: this.#restarts,
      state: this.#state,
      lastState: this.#lastState,
      ...(this.#run >= 0 &&
        this.#log && { containerID: `process://${this.#options.dir.replaceAll('/', '_')}_${this.#run}` }),
    };
  }

  /** Starts the container and keeps it running by the restart policy. Resolves when it will not run again. Call once. */
  start(): Promise<void> {
    this.#ended = this.#loop();
    return this.#ended;
  }

  /** Stops the container for good: preStop, SIGTERM, and SIGKILL after `grace` milliseconds. Resolves when the process is gone. */
  async stop(grace: number): Promise<void> {
    if (this.#stop.signal.aborted) {
      // A second call may only shorten the time: kubectl delete --now after kubectl delete.
      if (grace < this.#grace) this.#signal('SIGKILL');
      return this.#ended;
    }
    this.#grace = grace;
    this.#stop.abort();
    if (this.running) await this.#terminate(grace);
    else this.#state = this.#state.terminated ? this.#state : { terminated: ended(0, 'Completed') };
    await this.#ended;
  }

  async #loop(): Promise<void> {
    let failures = 0;
    while (!this.#stop.signal.aborted) {
      const launch = await this.#prepare();
      if (!launch) return;
      const began = Date.now();
      const code = await this.#once(launch);
      const policy = this.#options.restartPolicy;
      if (this.#stop.signal.aborted || policy === 'Never' || (policy === 'OnFailure' && code === 0)) return;
      if (Date.now() - began > BACKOFF.forgetAfter) failures = 0;
      this.#lastState = this.#state;
      this.#restarts++;
      const delay = failures === 0 ? 0 : doubledWait(failures, BACKOFF);
      failures++;
      if (delay > 0) {
        const message = `back-off ${delay / 1000}s restarting failed container=${this.name}`;
        this.#change({ waiting: { reason: 'CrashLoopBackOff', message } });
        this.#options.event('Warning', 'BackOff', message);
        await this.#pause(delay);
      }
    }
    // Stopped while it waited.
    if (!this.#state.terminated) this.#change({ terminated: ended(137, 'Error') });
  }

  /** Returns the process to start. Retries until it is known; returns undefined if the container is stopped first. */
  async #prepare(): Promise<Launch | undefined> {
    let reported = '';
    for (let tries = 0; ; tries++) {
      try {
        const launch = await this.#options.prepare();
        return this.#stop.signal.aborted ? undefined : launch;
      } catch (error) {
        const image = error instanceof ImageError;
        if (!image && !(error instanceof ContainerConfigError)) {
          // The API server may be unavailable: report it and retry.
          this.#change({ waiting: { reason: 'CreateContainerError', message: (error as Error).message } });
        } else {
          const reason = image ? 'ErrImagePull' : 'CreateContainerConfigError';
          this.#change({ waiting: { reason, message: error.message } });
          if (reported !== error.message) this.#options.event('Warning', 'Failed', error.message);
          reported = error.message;
        }
      }
      await this.#pause(doubledWait(tries + 1, RETRY_CONFIG));
      if (this.#stop.signal.aborted) return undefined;
    }
  }

  /** Runs the process once. Returns its exit code, or 128 plus the number of the signal that ended it. */
  async #once(launch: Launch): Promise<number> {
    const { container, dir } = this.#options;
    makeDirectory(dir);
    this.#previousLog = this.#log?.path ?? this.#previousLog;
    this.#run = this.#restarts;
    const log = new LogFile(`${dir}/${this.#run}.log`);
    this.#log = log;
    this.#launch = launch;
    const startedAt = wireTime();
    const setpriv = findOnPath('setpriv');
    // With setpriv, the kernel ends the process when this process is gone, however this process ends.
    const child = spawn(
      setpriv ?? launch.command,
      setpriv ? ['--pdeathsig', 'KILL', launch.command, ...launch.args] : [...launch.args],
      { cwd: launch.cwd, env: launch.env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    child.stdout.on('data', chunk => log.write('stdout', chunk));
    child.stderr.on('data', chunk => log.write('stderr', chunk));
    const drained = Promise.all(
      [child.stdout, child.stderr].map(out => new Promise(resolve => out.once('close', resolve))),
    );
    const probes = new AbortController();
    const exit = new Promise<{ code: number; message?: string }>(resolve => {
      child.once('error', error => resolve({ code: 128, message: error.message }));
      child.once('exit', (code, signal) => resolve({ code: code ?? 128 + signalNumber(signal) }));
    });
    this.#exited = exit.then(() => {});
    this.#pid = child.pid;
    if (child.pid !== undefined) {
      writeFileSync(`${dir}/pid`, `${child.pid} ${startTime(child.pid) ?? ''}\n`);
      this.#started = !container.startupProbe;
      this.#ready = this.#started && !container.readinessProbe;
      this.#change({ running: { startedAt } });
      this.#options.event('Normal', 'Started', `Started container ${container.name}`);
      this.#probe(probes.signal);
    }
    const { code, message } = await exit;
    probes.abort();
    // Children of the process in its group end with it, as the kernel does it in a container.
    this.#signal('SIGKILL');
    this.#pid = undefined;
    rmSync(`${dir}/pid`, { force: true });
    await Promise.race([drained, sleep(1000)]);
    log.close();
    this.#started = false;
    this.#ready = false;
    this.#change({ terminated: { ...ended(code, code === 0 ? 'Completed' : 'Error', message), startedAt } });
    return code;
  }

  #probe(signal: AbortSignal): void {
    const { container } = this.#options;
    const target = this.#target();
    const ready = () => {
      if (!container.readinessProbe) {
        this.#ready = true;
        this.#options.changed();
        return;
      }
      const report = (passing: boolean, message: string) => {
        if (!passing) this.#options.event('Warning', 'Unhealthy', `Readiness probe failed: ${message}`);
        if (this.#ready === passing) return;
        this.#ready = passing;
        this.#options.changed();
      };
      watchProbe(container.readinessProbe, target, signal, report, { eager: true });
    };
    const live = () => {
      if (!container.livenessProbe) return;
      watchProbe(container.livenessProbe, target, signal, (passing, message) => {
        if (!passing) this.#restart(`Liveness probe failed: ${message}`);
      });
    };
    if (!container.startupProbe) {
      ready();
      live();
      return;
    }
    watchProbe(container.startupProbe, target, signal, (passing, message) => {
      if (!passing) return this.#restart(`Startup probe failed: ${message}`);
      if (this.#started) return;
      this.#started = true;
      ready();
      live();
      this.#options.changed();
    });
  }

  #restart(why: string): void {
    if (this.#stop.signal.aborted) return;
    this.#options.event('Warning', 'Unhealthy', why);
    this.#options.event('Normal', 'Killing', `Container ${this.name} is restarted`);
    void this.#terminate(this.#options.grace);
  }

  async #terminate(grace: number): Promise<void> {
    const deadline = Date.now() + grace;
    const hook = this.#options.container.lifecycle?.preStop;
    if (hook && grace > 0) {
      const seconds = hook.sleep?.seconds;
      const work = seconds !== undefined ? sleep(seconds * 1000) : act(hook as Action, this.#target(), grace);
      await Promise.race([work, this.#exited, sleep(grace)]);
    }
    if (grace > 0) this.#signal('SIGTERM');
    const kill = setTimeout(() => this.#signal('SIGKILL'), Math.max(0, deadline - Date.now()));
    await this.#exited;
    clearTimeout(kill);
  }

  /** Sends SIGTERM to the process, like to the first process of a container, and SIGKILL to its whole process group. */
  #signal(signal: 'SIGTERM' | 'SIGKILL'): void {
    if (this.#pid === undefined) return;
    try {
      process.kill(signal === 'SIGKILL' ? -this.#pid : this.#pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  #target(): ActionTarget {
    return {
      host: this.#options.podIP,
      port: port => {
        const named = this.#options.container.ports?.find(({ name }) => name === port)?.containerPort;
        return named ?? Number(port);
      },
      exec: (command, timeout) => this.#exec(command, timeout),
    };
  }

  #exec(command: readonly string[], timeout: number): Promise<string | undefined> {
    const launch = this.#launch;
    if (!launch || !command[0]) return Promise.resolve('there is no command to run');
    return new Promise(resolve => {
      const child = spawn(command[0]!, command.slice(1), {
        cwd: launch.cwd,
        env: launch.env,
        stdio: 'ignore',
        timeout,
      });
      child.once('error', error => resolve(error.message));
      child.once('exit', (code, signal) =>
        resolve(code === 0 ? undefined : `command ended with ${signal ?? `status ${code}`}`),
      );
    });
  }

  #change(state: ContainerState): void {
    this.#state = state;
    this.#options.changed();
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stop.signal }).catch((error: Error) => {
      if (error.name !== 'AbortError') throw error;
    });
  }
}

function ended(exitCode: number, reason: string, message?: string): NonNullable<ContainerState['terminated']> {
  const now = wireTime();
  return { exitCode, reason, ...(message && { message }), startedAt: now, finishedAt: now };
}

function signalNumber(signal: NodeJS.Signals | null): number {
  return (
    ({ SIGHUP: 1, SIGINT: 2, SIGABRT: 6, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 } as Record<string, number>)[
      signal ?? ''
    ] ?? 9
  );
}
