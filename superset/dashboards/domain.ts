import { groups, heatmap, number, numberRows, ranking, records, ring } from '../charts.ts';
import { BY_DOMAIN, HOSTS } from '../datasets.ts';
import { country, domain, grain, network, TEST, TIME } from '../filters.ts';
import type { Dashboard } from '../model.ts';
import { BLOCKED, OUTCOMES_TEXT, outcomesOverTime, shareBlocked } from './outcome-charts.ts';

export const DOMAIN: Dashboard = {
  slug: 'ooni-domain',
  title: 'OONI: Domain',
  description: 'Where one domain is blocked, since when, how, and by which networks.',
  filters: [TIME, grain(HOSTS), domain(HOSTS, { single: true }), country(), network(), TEST],
  rows: [
    [
      {
        width: 12,
        height: 15,
        content: {
          markdown: `Choose a domain on the left. A measurement counts for each host that it met, also behind redirects. ${OUTCOMES_TEXT}`,
        },
      },
    ],
    ...numberRows(
      number(
        { title: 'Measurements', description: 'Measurements that met this host, of any outcome.', dataset: HOSTS },
        'n_measurements',
      ),
      number(
        { title: 'Blocked', description: 'Measurements in which this host was blocked.', dataset: HOSTS },
        'n_blocked',
      ),
      shareBlocked(HOSTS),
      number({ title: 'Countries', description: 'Countries with measurements.', dataset: HOSTS }, 'n_countries'),
      number({ title: 'Networks', description: 'Networks (ASN) with measurements.', dataset: HOSTS }, 'n_networks'),
      number(
        {
          title: 'Latest measurement (UTC)',
          description: 'Start of the latest measurement with a verdict.',
          dataset: HOSTS,
        },
        'last_seen',
      ),
    ),
    [
      {
        width: 8,
        height: 44,
        content: outcomesOverTime(HOSTS),
      },
      {
        width: 4,
        height: 44,
        content: ring(
          {
            title: 'Where it is blocked',
            description: 'Blocked measurements by layer: dns, tcp, tls or http.',
            dataset: HOSTS,
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
        height: 44,
        content: heatmap(
          {
            title: 'Blocked share by country and time',
            description: 'White: the domain was not measured.',
            dataset: HOSTS,
          },
          'probe_cc',
          'share_blocked',
        ),
      },
      {
        width: 6,
        height: 44,
        content: groups(
          {
            title: 'Blocking by country',
            description:
              'From the view blocking_by_domain, which knows no networks: the filter ASN does not restrict it.',
            dataset: BY_DOMAIN,
          },
          ['probe_cc'],
          [
            'n_blocked',
            'n_measurements',
            'share_blocked',
            'n_dns_blocked',
            'n_tcp_blocked',
            'n_tls_blocked',
            'n_http_blocked',
          ],
          { limit: 250 },
        ),
      },
    ],
    [
      {
        width: 6,
        height: 48,
        content: groups(
          { title: 'Networks by blocked measurements', description: 'Networks of the probes.', dataset: HOSTS },
          ['probe_cc', 'probe_asn', 'probe_as_org_name'],
          ['n_blocked', 'n_measurements', 'share_blocked'],
          { columns: { probe_asn: { d3NumberFormat: 'd', showCellBars: false } } },
        ),
      },
      {
        width: 6,
        height: 48,
        content: ranking(
          {
            title: 'Signs of blocking',
            description: 'Blocked measurements by the rule that judged (docs/analysis-rules.md).',
            dataset: HOSTS,
          },
          'blocked_rule_id',
          'n_measurements',
          { by: 'blocked_layer', where: BLOCKED },
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
            dataset: HOSTS,
          },
          [
            'measurement_start_time',
            'probe_cc',
            'probe_asn',
            'probe_as_org_name',
            'input',
            'outcome',
            'blocked_layer',
            'blocked_rule_id',
            'explorer',
          ],
          [['measurement_start_time', false]],
          { columns: { probe_asn: { d3NumberFormat: 'd' } } },
        ),
      },
    ],
  ],
};
