import { groups, number, numberRows, ranking, records, ring } from '../charts.ts';
import { BY_NETWORK, FAILED_OBSERVATIONS, HOSTS, OBSERVATIONS, VERDICTS } from '../datasets.ts';
import { country, grain, network, TEST, TIME } from '../filters.ts';
import type { Dashboard } from '../model.ts';
import { BLOCKED, OUTCOMES_TEXT, outcomesOverTime, shareBlocked } from './outcome-charts.ts';

export const NETWORK: Dashboard = {
  slug: 'ooni-network',
  title: 'OONI: Network',
  description: 'What one network blocks, and what its probes observed.',
  filters: [TIME, grain(VERDICTS), country(), network({ single: true }), TEST],
  rows: [
    [
      {
        width: 12,
        height: 15,
        content: { markdown: `Choose a network by its number (ASN) on the left. ${OUTCOMES_TEXT}` },
      },
    ],
    ...numberRows(
      number(
        { title: 'Measurements', description: 'Measurements with a verdict, of any outcome.', dataset: VERDICTS },
        'n_measurements',
      ),
      shareBlocked(VERDICTS),
      number(
        {
          title: 'Domains with blocking',
          description: 'Domains with at least one blocked measurement.',
          dataset: VERDICTS,
        },
        'n_domains_blocked',
      ),
      number(
        {
          title: 'Observations',
          description: 'Rows of obs_web: DNS answers, connects, handshakes and requests.',
          dataset: OBSERVATIONS,
        },
        'n_observations',
      ),
      number(
        { title: 'DNS failures', description: 'Observations with a failed DNS query.', dataset: OBSERVATIONS },
        'n_dns_failures',
      ),
      number(
        { title: 'TLS failures', description: 'Observations with a failed TLS handshake.', dataset: OBSERVATIONS },
        'n_tls_failures',
      ),
    ),
    [
      {
        width: 8,
        height: 44,
        content: outcomesOverTime(VERDICTS),
      },
      {
        width: 4,
        height: 44,
        content: ring(
          {
            title: 'Where it is blocked',
            description: 'Blocked measurements by layer: dns, tcp, tls or http.',
            dataset: VERDICTS,
          },
          'blocked_layer',
          'n_measurements',
          { where: BLOCKED },
        ),
      },
    ],
    [
      {
        width: 6,
        height: 48,
        content: groups(
          {
            title: 'Hosts by blocked measurements',
            description: 'The host of a redirect counts by itself.',
            dataset: HOSTS,
          },
          ['domain'],
          ['n_blocked', 'n_measurements', 'share_blocked', 'last_seen'],
          { where: "domain != ''" },
        ),
      },
      {
        width: 6,
        height: 48,
        content: ranking(
          {
            title: 'Observed failures',
            description: 'Failed observations by kind of failure and layer, before any judgement.',
            dataset: FAILED_OBSERVATIONS,
          },
          'failure',
          'n_failures',
          { by: 'layer' },
        ),
      },
    ],
    [
      {
        width: 6,
        height: 44,
        content: groups(
          {
            title: 'DNS answers',
            description: 'What resolvers answered, and the network of the answer.',
            dataset: OBSERVATIONS,
          },
          ['hostname', 'dns_answer', 'dns_answer_as_org_name'],
          ['n_measurements'],
          { where: 'dns_answer IS NOT NULL', limit: 100 },
        ),
      },
      {
        width: 6,
        height: 44,
        content: groups(
          { title: 'Outcomes by network', description: 'From the view blocking_by_asn.', dataset: BY_NETWORK },
          ['probe_cc', 'probe_asn', 'probe_as_org_name'],
          ['n_measurements', 'n_blocked', 'n_partly_blocked', 'n_down', 'n_refused', 'n_ok', 'n_unknown'],
          { columns: { probe_asn: { d3NumberFormat: 'd', showCellBars: false } } },
        ),
      },
    ],
    [
      {
        width: 12,
        height: 48,
        content: records(
          {
            title: 'Latest measurements',
            description: 'Open them in OONI Explorer before you write about them.',
            dataset: VERDICTS,
          },
          [
            'measurement_start_time',
            'probe_cc',
            'input',
            'test_name',
            'outcome',
            'blamed_host',
            'blocked_layer',
            'blocked_rule_id',
            'explorer',
          ],
          [['measurement_start_time', false]],
        ),
      },
    ],
  ],
};
