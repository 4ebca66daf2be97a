import { describe, expect, test } from 'vitest';
import { expectedMeasurements } from '../test/support/fixtures.ts';
import { NETTEST_GROUPS } from './analysis/nettest-groups.ts';
import { parseKey } from './archive/keys.ts';
import { TEST_NAMES } from './archive/yaml-names.ts';
import { KNOWN_TESTS, nearestTest, unknownNameMessage, unknownNames } from './known-names.ts';
import { TEST_KEYS } from './measurement/model.ts';

describe('known tests', () => {
  test('are sorted and unique', () => {
    expect(KNOWN_TESTS).toEqual([...new Set(KNOWN_TESTS)].sort());
  });

  test('contain every test with a transformer, a group or an old name, and those of the fixtures', () => {
    const old = Object.values(TEST_NAMES).filter(name => name !== 'invalid' && name !== 'this_test_is_nameless');
    const supported = Object.keys(TEST_KEYS).filter(name => name !== 'generic');
    const files = expectedMeasurements()
      .map(({ key }) => parseKey({ key, size: 1, etag: '' }))
      .map(file => (file && 'testName' in file ? file.testName : 'x'))
      .filter(name => name !== 'x' && !/^(test|summary)/.test(name));
    const testNames = [...new Set([...old, ...supported, ...Object.values(NETTEST_GROUPS).flat(), ...files])];
    expect(unknownNames({ testNames }), 'tests that KNOWN_TESTS lacks').toEqual([]);
  });

  test.each([
    ['web_conectivity', 'web_connectivity'],
    ['webconnectivty', 'web_connectivity'],
    ['web_connectivity_test', 'web_connectivity'],
    ['Telegramm', 'telegram'],
    ['whatsap', 'whatsapp'],
    ['wahtsapp', 'whatsapp'],
    ['singal', 'signal'],
    ['facebook', 'facebook_messenger'],
    ['web', undefined],
    ['http', undefined],
    ['x', undefined],
    ['nothing_of_the_kind', undefined],
  ])('the nearest to %s is %s', (name, nearest) => {
    expect(nearestTest(name)).toBe(nearest);
  });
});

test('known names of a filter are recognised in any form', () => {
  expect(unknownNames({})).toEqual([]);
  const testNames = ['web_connectivity', 'WebConnectivity', 'signal '];
  expect(unknownNames({ probeCC: ['IT', 'it', ' us', 'ZZ', 'XK', 'EU'], testNames })).toEqual([]);
});

test('a message about an unknown name suggests the nearest known one', () => {
  const unknown = unknownNames({ probeCC: ['XX', 'uk', 'IT'], testNames: ['web_conectivity', 'zzzzzz'] });
  expect(unknown).toEqual([
    { field: 'probeCC', value: 'XX' },
    { field: 'probeCC', value: 'uk', nearest: 'GB' },
    { field: 'testNames', value: 'web_conectivity', nearest: 'web_connectivity' },
    { field: 'testNames', value: 'zzzzzz' },
  ]);
  expect(unknown.map(unknownNameMessage)).toEqual([
    '"XX" is not a known country code',
    '"uk" is not a known country code; did you mean GB?',
    '"web_conectivity" is not a known test; did you mean web_connectivity?',
    '"zzzzzz" is not a known test',
  ]);
});
