#!/usr/bin/env node
import { launch } from './launch.mjs';

await launch('kubectl-ooni', 'kubectl-ooni');
