import { htmlOf } from '../../tools/terminal-html.ts';
import type { Browser } from './browser.ts';

const STYLE = `
  body { margin: 0; background: #1e1e1e; }
  pre { margin: 0; padding: 12px 16px; display: inline-block; min-width: 100ch; color: #d4d4d4;
        font: 15px/1.3 "DejaVu Sans Mono", "Liberation Mono", monospace; }
  b { font-weight: normal } .strong { font-weight: bold; color: #fff } .faint { color: #9a9a9a }
  .red { color: #f47067 } .green { color: #6bc46d } .yellow { color: #dbab4d } .cyan { color: #56c8d8 }`;

/** Returns a PNG of a terminal of 100 columns that shows the text. */
export async function photographTerminal(browser: Browser, text: string): Promise<Buffer> {
  const page = `<!doctype html><meta charset="utf-8"><style>${STYLE}</style><pre>${htmlOf(text.trimEnd())}</pre>`;
  await browser.open(`data:text/html;base64,${Buffer.from(page).toString('base64')}`);
  await browser.until(`document.querySelector('pre')`, 60_000);
  const [width = 0, height = 0] = await browser.evaluate<number[]>(
    `(({ width, height }) => [Math.ceil(width), Math.ceil(height)])(document.querySelector('pre').getBoundingClientRect())`,
  );
  return browser.screenshot(width, height);
}
