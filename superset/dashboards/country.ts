import { groups, heatmap, number, numberRows, ranking, records, ring } from '../charts.ts';
import { HOSTS, VERDICTS } from '../datasets.ts';
import { country, domain, grain, network, TEST, TIME } from '../filters.ts';
import type { Dashboard } from '../model.ts';
import { BLOCKED, OUTCOMES_TEXT, outcomesOverTime, shareBlocked } from './outcome-charts.ts';

export const COUNTRY: Dashboard = {
  slug: 'ooni-country',
  title: 'OONI: Country',
  description: 'What is blocked in one country, since when, how, and by which networks.',
  filters: [TIME, grain(VERDICTS), country({ single: true }), domain(HOSTS), network(), TEST],
  rows: [
    [{ width: 12, height: 15, content: { markdown: `Choose a country on the left. ${OUTCOMES_TEXT}` } }],
    ...numberRows(
      number(
        { title: 'Measurements', description: 'Measurements with a verdict, of any outcome.', dataset: VERDICTS },
        'n_measurements',
      ),
      shareBlocked(VERDICTS),
      number(
        {
          title: 'Confirmed',
          description: 'Measurements with a known block page of the country.',
          dataset: VERDICTS,
        },
        'n_confirmed',
      ),
      number(
        {
          title: 'Domains with blocking',
          description: 'Domains with at least one blocked measurement.',
          dataset: VERDICTS,
        },
        'n_domains_blocked',
      ),
      number({ title: 'Networks', description: 'Networks (ASN) with measurements.', dataset: VERDICTS }, 'n_networks'),
      number(
        {
          title: 'Latest measurement (UTC)',
          description: 'Start of the latest measurement with a verdict.',
          dataset: VERDICTS,
        },
        'last_seen',
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
            description:
              'Blocked measurements by layer: dns (false answer), tcp (no connection), tls (broken handshake) or http (false or no page).',
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
        width: 12,
        height: 50,
        content: heatmap(
          {
            title: 'Blocked share by host and time',
            description:
              'The darker, the greater the share of blocked measurements of a host. Empty: none was blocked, or none was measured.',
            dataset: HOSTS,
          },
          'domain',
          'share_blocked',
          { having: "countIf(outcome = 'blocked') > 0" },
        ),
      },
    ],
    [
      {
        width: 6,
        height: 52,
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
        height: 52,
        content: groups(
          { title: 'Networks by blocked measurements', description: 'Networks of the probes.', dataset: VERDICTS },
          ['probe_asn', 'probe_as_org_name'],
          ['n_blocked', 'n_measurements', 'share_blocked', 'n_domains_blocked'],
          { columns: { probe_asn: { d3NumberFormat: 'd', showCellBars: false } } },
        ),
      },
    ],
    [
      {
        width: 4,
        height: 50,
        content: ranking(
          {
            title: 'Signs of blocking',
            description: 'Blocked measurements by the rule that judged (docs/analysis-rules.md).',
            dataset: VERDICTS,
          },
          'blocked_rule_id',
          'n_measurements',
          { by: 'blocked_layer', where: BLOCKED },
        ),
      },
      {
        width: 8,
        height: 50,
        content: records(
          {
            title: 'Latest blocked measurements',
            description: 'Open them in OONI Explorer before you write about them.',
            dataset: VERDICTS,
          },
          [
            'measurement_start_time',
            'blamed_host',
            'input',
            'probe_asn',
            'blocked_layer',
            'blocked_rule_id',
            'explorer',
          ],
          [['measurement_start_time', false]],
          { where: BLOCKED, columns: { probe_asn: { d3NumberFormat: 'd' } } },
        ),
      },
    ],
  ],
};
