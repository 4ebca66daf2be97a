/**
 * Runs the operator as operator/main.ts does, with the connection to the API server in the variable BENCH_CONNECTION (JSON). A pod reads it
 * from the files of its service account; the library for kubeconfig files, which a pod does not load, takes 58 MB.
 */

import type { Connection } from '../../../operator/kube/config.ts';
import { runOperator } from '../../../operator/operator.ts';
import { loadSettings } from '../../../pipeline/settings.ts';
import { createLogger } from '../../../pipeline/telemetry/log.ts';
import { recordStalls } from './stalls.ts';

const { BENCH_CONNECTION: connection = '', BENCH_STALLS: stalls = '' } = process.env;
recordStalls(stalls);
const settings = loadSettings();
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
await runOperator(
  settings,
  async () => JSON.parse(connection) as Connection,
  createLogger('ooni-operator', settings),
  stop.signal,
);
