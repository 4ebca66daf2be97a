import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Chromium } from './chromium.ts';

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly sessionId?: string;
  readonly params?: Record<string, unknown>;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

/** A Chromium without a window, controlled over the DevTools protocol. It has one page. */
export class Browser {
  readonly #child: ChildProcess;
  readonly #profile: string;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (message: Message) => void>();
  #session: string | undefined;
  #id = 0;
  /** Errors since the start: of the console, of scripts, and responses with a status from 400. */
  readonly errors: string[] = [];

  private constructor(child: ChildProcess, profile: string, socket: WebSocket) {
    this.#child = child;
    this.#profile = profile;
    this.#socket = socket;
    socket.addEventListener('message', event => this.#receive(JSON.parse(String(event.data)) as Message));
  }

  /** Starts the program with an empty profile and a page of the given size in pixels. */
  static async start({ program, env }: Chromium, width: number, height: number): Promise<Browser> {
    const profile = mkdtempSync(join(tmpdir(), 'ooni-chromium-'));
    const child = spawn(
      program,
      [
        ...[
          '--headless',
          '--no-sandbox',
          '--disable-gpu',
          '--disable-background-networking',
          '--disable-dev-shm-usage',
        ],
        ...[
          '--remote-debugging-port=0',
          `--user-data-dir=${profile}`,
          `--window-size=${width},${height}`,
          'about:blank',
        ],
      ],
      { env, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    const address = await new Promise<string>((resolve, reject) => {
      const said: string[] = [];
      createInterface({ input: child.stderr! }).on('line', line => {
        said.push(line);
        const found = /^DevTools listening on (ws:\S+)/.exec(line)?.[1];
        if (found) resolve(found);
      });
      child.once('error', reject);
      child.once('exit', status => reject(new Error(`Chromium ended with ${status}:\n${said.slice(-10).join('\n')}`)));
    });
    const socket = new WebSocket(address);
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve, { once: true });
      socket.addEventListener('error', () => reject(new Error(`Chromium does not answer at ${address}`)), {
        once: true,
      });
    });
    const browser = new Browser(child, profile, socket);
    const { targetId } = await browser.#call('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await browser.#call('Target.attachToTarget', { targetId, flatten: true });
    browser.#session = sessionId as string;
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await browser.#call(`${domain}.enable`);
    await browser.resize(width, height);
    return browser;
  }

  async resize(width: number, height: number): Promise<void> {
    await this.#call('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false });
  }

  async open(url: string): Promise<void> {
    const { errorText } = await this.#call('Page.navigate', { url });
    if (errorText) throw new Error(`${url} was not opened: ${errorText}`);
  }

  /** Returns the value of an expression in the page. Promises are awaited. */
  async evaluate<T>(expression: string): Promise<T> {
    const options = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.#call('Runtime.evaluate', options);
    if (exceptionDetails) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
    return (result as { value: T }).value;
  }

  /** Types a text into the field that the selector names, as a keyboard does. */
  async type(selector: string, text: string): Promise<void> {
    await this.evaluate(`document.querySelector(${JSON.stringify(selector)}).focus()`);
    await this.#call('Input.insertText', { text });
  }

  /** Waits until an expression is true in the page. Throws after `timeout` milliseconds; the message has `otherwise` of the page. */
  async until(expression: string, timeout: number, otherwise = 'document.body.innerText'): Promise<void> {
    for (const deadline = Date.now() + timeout; ; await sleep(200)) {
      // A navigation may replace the page between the request and the answer.
      const found = await this.evaluate<boolean>(`Boolean(${expression})`).catch(() => false);
      if (found) return;
      if (Date.now() > deadline)
        throw new Error(`${expression} did not become true; the page: ${await this.evaluate(otherwise)}`);
    }
  }

  /** Returns a PNG of the page from its top to the given height. */
  async screenshot(width: number, height: number): Promise<Buffer> {
    const clip = { x: 0, y: 0, width, height, scale: 1 };
    const { data } = await this.#call('Page.captureScreenshot', { format: 'png', clip });
    return Buffer.from(data as string, 'base64');
  }

  async close(): Promise<void> {
    const gone = new Promise(resolve => this.#child.once('exit', resolve));
    this.#socket.close();
    this.#child.kill('SIGKILL');
    await gone;
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }

  async #call(method: string, params: object = {}): Promise<Record<string, unknown>> {
    const id = ++this.#id;
    const answer = new Promise<Message>(resolve => this.#waiting.set(id, resolve));
    this.#socket.send(JSON.stringify({ id, method, params, ...(this.#session && { sessionId: this.#session }) }));
    const { result, error } = await answer;
    if (error) throw new Error(`${method}: ${error.message}`);
    return result ?? {};
  }

  #receive({ id, method, params = {}, ...rest }: Message): void {
    if (id !== undefined) {
      this.#waiting.get(id)?.({ id, ...rest });
      this.#waiting.delete(id);
    } else if (method === 'Runtime.exceptionThrown') {
      this.errors.push(JSON.stringify(params.exceptionDetails));
    } else if (method === 'Runtime.consoleAPICalled' && params.type === 'error') {
      this.errors.push(`console: ${JSON.stringify(params.args)}`);
    } else if (method === 'Log.entryAdded') {
      const { level, text, url } = params.entry as { level: string; text: string; url?: string };
      // A container that starts on this machine changes its networks, and Chromium then gives up its requests; Superset repeats them.
      if (level === 'error' && !text.includes('ERR_NETWORK_CHANGED')) this.errors.push(`${text} ${url ?? ''}`);
    } else if (method === 'Network.responseReceived') {
      const { status, url } = params.response as { status: number; url: string };
      if (status >= 400) this.errors.push(`HTTP ${status} ${url}`);
    }
  }
}
