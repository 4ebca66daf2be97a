import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test, vi } from 'vitest';
import { openClickHouse } from './clickhouse.ts';

test('a command says that it waits while ClickHouse does not take its statement', async () => {
  const said: string[] = [];
  const spy = vi.spyOn(console, 'error').mockImplementation(line => void said.push(String(line)));
  // It answers the probe, and then nothing until the command has said that it waits.
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      if (opened && said.length === 0) request.socket.destroy();
      else response.end('{"x":1}\n');
    });
  });
  let opened: Awaited<ReturnType<typeof openClickHouse>> | undefined;
  await once(server.listen(0, '127.0.0.1'), 'listening');
  try {
    opened = await openClickHouse(`http://me:hunter2@127.0.0.1:${(server.address() as AddressInfo).port}`);
    expect(await opened.clickhouse.select('SELECT 1 AS x')).toEqual([{ x: 1 }]);
    expect(said).toEqual([expect.stringMatching(/^ClickHouse .*; the statement is sent again in \d+ s$/)]);
    expect(said.join()).not.toContain('hunter2');
  } finally {
    await opened?.close();
    server.close();
    spy.mockRestore();
  }
});
