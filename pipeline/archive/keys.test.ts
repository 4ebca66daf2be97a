import { describe, expect, it } from 'vitest';
import { isBadKey, parseKey } from './keys.ts';

const parse = (key: string) => parseKey({ key, size: 10, etag: 'e' });

describe('keys', () => {
  // The example keys of archive.md section 2 and keys of the real listing in S3_KEYS.tsv.
  it.each([
    [
      'raw/20210817/15/US/webconnectivity/2021081715_US_webconnectivity.n0.0.jsonl.gz',
      { layout: 'jsonl', probeCC: 'US', testName: 'webconnectivity', hour: '2021-08-17T15' },
    ],
    [
      'raw/20210614/00/JO/signal/2021061400_JO_signal.n1.10.tar.gz',
      { layout: 'postcan', probeCC: 'JO', testName: 'signal', hour: '2021-06-14T00' },
    ],
    [
      'jsonl/webconnectivity/IT/20200921/00/20200921_IT_webconnectivity.l.0.jsonl.gz',
      { layout: 'jsonl', probeCC: 'IT', testName: 'webconnectivity', hour: '2020-09-21T00' },
    ],
    [
      'canned/2020-10-21/web_connectivity.0.tar.lz4',
      { layout: 'tarcan', probeCC: undefined, testName: 'webconnectivity', hour: '2020-10-21T00' },
    ],
    [
      // The time in the name is that of the measurement; the folder is the upload day.
      'canned/2020-10-21/20201020T141726Z-US-AS20093-facebook_messenger-20201021T141726Z_AS20093_MBCoLaOwlb-0.2.0-probe.json.lz4',
      { layout: 'jsoncan', probeCC: 'US', testName: 'facebookmessenger', hour: '2020-10-21T00' },
    ],
    [
      'canned/2013-09-12/20130912T144929Z-MD-AS1547-dns_consistency-no_report_id-0.1.0-probe.yaml.lz4',
      { layout: 'yamlcan', probeCC: 'MD', testName: 'dnsconsistency', hour: '2013-09-12T00' },
    ],
  ])('parses %s', (key, facts) => {
    expect(parse(key)).toEqual({ key, size: 10, etag: 'e', ...facts });
  });

  it('takes the hour from the folder if the name has only a day, and uses 00 without a folder', () => {
    expect(parse('raw/20201101/05/IT/ndt/20201101_IT_ndt.n0.0.tar.gz')).toMatchObject({ hour: '2020-11-01T05' });
    expect(parse('jsonl/ndt/IT/20200101/00/20200101_IT_ndt.l.0.jsonl.gz')).toMatchObject({ hour: '2020-01-01T00' });
  });

  it.each([
    ['raw/20210817/15/US/x/2021081715_US_x.n0.0.csv', 'ends in none of'],
    ['raw/20210817/15/US/x/nonsense.jsonl.gz', 'not YYYYMMDDHH_CC_testname'],
    ['raw/20210817/15/US/x/2021081715.jsonl.gz', 'not YYYYMMDDHH_CC_testname'],
    ['raw/20210817/15/US/x/20210817150_US_x.n0.0.jsonl.gz', 'is not an upload hour'],
    ['raw/20210230/15/US/x/2021023015_US_x.n0.0.jsonl.gz', 'is not an hour of the calendar'],
    ['raw/20210817/24/US/x/2021081724_US_x.n0.0.jsonl.gz', 'is not an hour of the calendar'],
    ['raw/20210817/16/US/x/2021081715_US_x.n0.0.jsonl.gz', 'its folder says otherwise'],
    ['raw/20210817/15/US/x/2021081715_USA_x.n0.0.jsonl.gz', 'is not a country'],
    ['raw/20210817/15/US/x/2021081715_US_.n0.0.jsonl.gz', 'no test name'],
    ['canned/2020-13-01/web_connectivity.0.tar.lz4', 'is not an upload day'],
    ['canned/2020-10-21/20201020T141726Z-US.json.lz4', 'not <time>-CC-ASn-testname'],
  ])('gives the reason why %s is not valid', (key, reason) => {
    const parsed = parse(key)!;
    expect(isBadKey(parsed) && parsed.reason).toContain(reason);
  });

  it('ignores the index of the cans and folder markers', () => {
    expect(parse('canned/2020-10-21/index.json.gz')).toBeUndefined();
    expect(parse('raw/20210817/')).toBeUndefined();
  });
});
