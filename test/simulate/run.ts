/**
 * Simulations of the operator, without servers:
 *
 *     npm run simulate -- autoscaling [--svg FILE]
 */
import { main } from './autoscaling.ts';

const [name, ...args] = process.argv.slice(2);
if (name !== 'autoscaling') {
  console.error('usage: npm run simulate -- autoscaling [--svg FILE]');
  process.exit(2);
}
main(args);
