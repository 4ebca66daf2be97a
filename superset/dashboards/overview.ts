import { groups, number, numberRows, ranking, ring, worldMap } from '../charts.ts';
import { HOSTS, RESULTS, VERDICTS } from '../datasets.ts';
import { country, domain, grain, network, TEST, TIME } from '../filters.ts';
import type { Dashboard } from '../model.ts';
import { OUTCOMES_TEXT, outcomesOverTime } from './outcome-charts.ts';

export const OVERVIEW: Dashboard = {
  slug: 'ooni-overview',
  title: 'OONI: Overview',
  description: 'Where the internet is blocked, by country, domain and test.',
  filters: [TIME, grain(VERDICTS), country(), domain(VERDICTS), network(), TEST],
  rows: [
    [
      {
        width: 12,
        height: 20,
        content: {
          markdown: `Each number counts **measurements** by OONI Probe that have a verdict. A verdict is evidence, not proof: look at several measurements, networks and days.
${OUTCOMES_TEXT}

Continue with [one country](/superset/dashboard/ooni-country/), [one domain](/superset/dashboard/ooni-domain/), [one network](/superset/dashboard/ooni-network/), [tunnels and speed](/superset/dashboard/ooni-tunnels-and-speed/) or the [health of the pipeline](/superset/dashboard/ooni-health/).`,
        },
      },
    ],
    ...numberRows(
      number(
        { title: 'Measurements', description: 'Measurements with a verdict, of any outcome.', dataset: VERDICTS },
        'n_measurements',
      ),
      number(
        { title: 'Blocked', description: 'Measurements with the outcome blocked.', dataset: VERDICTS },
        'n_blocked',
      ),
      number(
        {
          title: 'Confirmed',
          description: 'Measurements with a known block page, in the answer of the resolver or in the response.',
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
      number({ title: 'Countries', description: 'Countries with measurements.', dataset: VERDICTS }, 'n_countries'),
      number({ title: 'Networks', description: 'Networks (ASN) with measurements.', dataset: VERDICTS }, 'n_networks'),
    ),
    [
      {
        width: 7,
        height: 52,
        content: worldMap(
          {
            title: 'Share of blocked measurements',
            description:
              'Blocked measurements divided by all measurements of the country. White: no measurements. Few measurements soon make a large share.',
            dataset: VERDICTS,
          },
          'probe_cc',
          'share_blocked',
        ),
      },
      {
        width: 5,
        height: 52,
        content: ring(
          { title: 'Outcomes', description: 'Measurements by outcome.', dataset: VERDICTS },
          'outcome',
          'n_measurements',
          { beside: 120 },
        ),
      },
    ],
    [
      {
        width: 12,
        height: 40,
        content: outcomesOverTime(VERDICTS),
      },
    ],
    [
      {
        width: 6,
        height: 50,
        content: groups(
          {
            title: 'Countries by blocked measurements',
            description: 'Look at the number of measurements beside the share.',
            dataset: VERDICTS,
          },
          ['probe_cc'],
          ['n_blocked', 'n_measurements', 'share_blocked', 'n_domains_blocked'],
          { limit: 250 },
        ),
      },
      {
        width: 6,
        height: 50,
        content: ranking(
          {
            title: 'Most blocked hosts',
            description: 'Blocked measurements by host and layer. The host of a redirect counts by itself.',
            dataset: HOSTS,
          },
          'domain',
          'n_blocked',
          { by: 'blocked_layer', where: "outcome = 'blocked' AND domain != ''" },
        ),
      },
    ],
    [
      {
        width: 6,
        height: 44,
        content: ranking(
          { title: 'Outcomes by test', description: 'Measurements by test and outcome.', dataset: VERDICTS },
          'test_name',
          'n_measurements',
          {
            by: 'outcome',
          },
        ),
      },
      {
        width: 6,
        height: 44,
        content: groups(
          {
            title: 'Results by kind of target',
            description:
              'Results in the form of measurement_experiment_result. An anomaly is a result that may be blocking.',
            dataset: RESULTS,
          },
          ['target_nettest_group', 'target_category'],
          ['n_results', 'n_anomalies', 'share_anomalies', 'n_confirmed'],
        ),
      },
    ],
  ],
};
