import { bars, groups, number, numberRows, ranking, records } from '../charts.ts';
import { PAGES, PERFORMANCE, TUNNELS } from '../datasets.ts';
import { country, grain, network, TIME } from '../filters.ts';
import type { Dashboard } from '../model.ts';
import { outcomesOverTime } from './outcome-charts.ts';

const NETWORK_COLUMN = { probe_asn: { d3NumberFormat: 'd', showCellBars: false } };

export const TUNNELS_AND_SPEED: Dashboard = {
  slug: 'ooni-tunnels-and-speed',
  title: 'OONI: Tunnels and speed',
  description: 'Which circumvention tools work, how fast networks are, and which pages are slow.',
  filters: [TIME, grain(TUNNELS), country(), network()],
  rows: [
    [
      {
        width: 12,
        height: 16,
        content: {
          markdown: `**Tunnels** are the attempts of tests of circumvention tools (psiphon, tor, openvpn). **ok**: established. **blocked**: it works in other networks, and not in this one, although the probe had a network. **down**: it works for nobody. **unknown**: there is too little to compare with.
**Speed** is that of ndt and dash, and of the pages of web_connectivity. A page is **throttled** if it is slow again and again in one network, while the same probe loads other hosts fast and other networks load the page fast. **slow**: one of these is missing, so the probe or the site may be slow.`,
        },
      },
    ],
    ...numberRows(
      number(
        { title: 'Attempts', description: 'Attempts to establish a tunnel, of any outcome.', dataset: TUNNELS },
        'n_attempts',
      ),
      number(
        { title: 'Tunnels blocked', description: 'Attempts with the outcome blocked.', dataset: TUNNELS },
        'n_blocked',
      ),
      number(
        { title: 'Bootstrap (s)', description: 'Median time until a tunnel was established.', dataset: TUNNELS },
        'bootstrap_median',
        { format: ',.1f' },
      ),
      number(
        { title: 'Download (kbit/s)', description: 'Median of the downloads of ndt.', dataset: PERFORMANCE },
        'download_median',
      ),
      number(
        { title: 'Video (kbit/s)', description: 'Median of the bitrates of dash.', dataset: PERFORMANCE },
        'bitrate_median',
      ),
      number(
        { title: 'Pages throttled', description: 'Requests with the outcome throttled.', dataset: PAGES },
        'n_throttled',
      ),
    ),
    [
      { width: 8, height: 44, content: outcomesOverTime(TUNNELS, 'n_attempts', 'Attempts') },
      {
        width: 4,
        height: 44,
        content: ranking(
          { title: 'Tunnels by outcome', description: 'Attempts by kind of tunnel and outcome.', dataset: TUNNELS },
          'tunnel_protocol',
          'n_attempts',
          { by: 'outcome' },
        ),
      },
    ],
    [
      {
        width: 12,
        height: 44,
        content: groups(
          {
            title: 'Tunnels by network',
            description: 'Attempts of each network at each kind of tunnel.',
            dataset: TUNNELS,
          },
          ['probe_cc', 'probe_asn', 'probe_as_org_name', 'tunnel_protocol', 'tunnel_transport'],
          ['n_attempts', 'n_blocked', 'n_down', 'n_ok', 'n_unknown', 'bootstrap_median'],
          { columns: NETWORK_COLUMN },
        ),
      },
    ],
    [
      {
        width: 6,
        height: 44,
        content: groups(
          {
            title: 'Speed by network',
            description: 'Medians of ndt and dash; empty: not measured.',
            dataset: PERFORMANCE,
          },
          ['probe_cc', 'probe_asn', 'probe_as_org_name'],
          ['n_measurements', 'download_median', 'upload_median', 'rtt_median', 'bitrate_median'],
          { columns: NETWORK_COLUMN },
        ),
      },
      {
        width: 6,
        height: 44,
        content: bars(
          {
            title: 'Measurements of speed',
            description: 'Measurements of ndt and dash over time.',
            dataset: PERFORMANCE,
          },
          ['n_measurements'],
          { by: 'test_name' },
        ),
      },
    ],
    [
      {
        width: 4,
        height: 48,
        content: ranking(
          {
            title: 'Pages by speed',
            description: 'Requests by host and outcome. Most pages are too small for a speed, so they are unknown.',
            dataset: PAGES,
          },
          'hostname',
          'n_pages',
          { by: 'outcome' },
        ),
      },
      {
        width: 8,
        height: 48,
        content: records(
          {
            title: 'Speeds of pages',
            description:
              'Pages that are large enough for a speed, the slowest first. The network or the site may be slow.',
            dataset: PAGES,
          },
          [
            'measurement_start_time',
            'probe_cc',
            'hostname',
            'outcome',
            'bytes_per_second',
            'received',
            'fast_hosts',
            'fast_networks',
            'slow_measurements',
            'explorer',
          ],
          [['bytes_per_second', true]],
          { where: "outcome != 'unknown'", columns: { bytes_per_second: { d3NumberFormat: ',d' } } },
        ),
      },
    ],
  ],
};
