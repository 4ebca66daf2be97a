import { type HealthServer, type MetricsText, serveHealth } from '../pipeline/telemetry/health-server.ts';

/**
 * Serves the metrics of this process at `prometheus_bind_address`: those of the registry, and those that the SDK of Temporal serves at a port
 * of the loopback. While the SDK does not answer, its metrics are absent.
 */
export function serveMetrics(address: string, registry: MetricsText, sdkPort: number): Promise<HealthServer> {
  const both = {
    contentType: registry.contentType,
    async metrics() {
      const [own, sdk] = await Promise.all([registry.metrics(), sdkMetrics(sdkPort)]);
      return `${own}${sdk}`;
    },
  };
  return serveHealth({ address, registry: both, live: {}, ready: {} });
}

async function sdkMetrics(port: number): Promise<string> {
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/metrics`, { signal: AbortSignal.timeout(5000) });
    return answer.ok ? await answer.text() : '';
  } catch (error) {
    if (error instanceof Error) return '';
    throw error;
  }
}
