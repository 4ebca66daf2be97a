import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import protobuf from 'protobufjs/light.js';
import { describe, expect, test } from 'vitest';
import { type Definition, usedDefinitions } from './protobuf-definitions.ts';

const field = (type: string) => ({ type, id: 1 });
const method = (requestType: string, responseType: string) => ({ requestType, responseType });

const ROOT: Definition = {
  nested: {
    api: {
      nested: {
        Shop: {
          methods: { BuyThing: method('BuyRequest', '.api.Receipt'), SellThing: method('Stock', 'Stock') },
        },
        Bank: { methods: { Pay: method('Money', 'Money') } },
        BuyRequest: { fields: { what: field('string'), how: field('pay.Way') } },
        Receipt: { fields: { lines: field('Line') }, nested: { Line: { fields: { colour: field('Colour') } } } },
        Stock: { fields: { lines: field('Receipt.Line') } },
        Money: { fields: { colour: field('pay.Colour') } },
        Colour: { values: { RED: 0 } },
        pay: { nested: { Way: { values: { CASH: 0 } }, Colour: { values: { BLUE: 0 } } } },
      },
    },
    other: { nested: { Letter: { fields: { text: field('string') } }, Size: { values: { A4: 0 } } } },
  },
};

/** Returns the full names of messages, enums, services and methods. */
function namesIn({ nested = {}, methods = {} }: Definition, prefix = ''): string[] {
  return [
    ...Object.keys(methods).map(name => `${prefix}${name}()`),
    ...Object.entries(nested).flatMap(([name, inner]) => [
      ...(inner.fields || inner.values || inner.methods ? [prefix + name] : []),
      ...namesIn(inner, `${prefix}${name}.`),
    ]),
  ];
}

describe('the definitions that a program uses', () => {
  test('are the called methods of the named services, with the messages and enums that these need', () => {
    const used = usedDefinitions(ROOT, 'const shop = api.Shop.create(); shop.buyThing({})');
    expect(namesIn(used).sort()).toEqual(
      [
        'api.BuyRequest',
        'api.Colour',
        'api.Receipt',
        'api.Receipt.Line',
        'api.Shop',
        'api.Shop.BuyThing()',
        'api.pay.Way',
      ].sort(),
    );
  });

  test('are the named messages, and the enums of a named package', () => {
    const names = namesIn(usedDefinitions(ROOT, 'x.other.Letter.decode(bytes); const { Way } = y.api.pay;'));
    expect(names).toEqual(expect.arrayContaining(['other.Letter', 'api.pay.Way', 'api.pay.Colour']));
    expect(names).not.toContain('api.Stock');
    expect(names).not.toContain('api.Shop.BuyThing()');
  });

  test('include the message around a message that is used', () => {
    expect(namesIn(usedDefinitions(ROOT, 'api.Receipt.Line.decode(bytes)'))).toContain('api.Receipt');
  });

  test('are found from the innermost scope on, and an unknown one is an error', () => {
    const wrong = { nested: { api: { nested: { A: { fields: { b: field('B') } } } } } };
    expect(() => usedDefinitions(wrong, 'api.A.decode()')).toThrow('api.A refers to B, which is not defined');
  });
});

test('a method of the API of Temporal keeps all that its messages refer to', () => {
  const path = createRequire(import.meta.url).resolve('@temporalio/proto/protos/json-module.js');
  const source = readFileSync(path, 'utf8');
  const all = JSON.parse(source.slice(source.indexOf('.addJSON(') + '.addJSON('.length, source.lastIndexOf(')')));
  const text = 'proto.temporal.api.workflowservice.v1.WorkflowService; client.workflowService.describeSchedule({})';
  const used = usedDefinitions({ nested: all }, text);
  expect(JSON.stringify(used).length).toBeLessThan(JSON.stringify(all).length / 4);
  // Throws for a type that is missing.
  const root = protobuf.Root.fromJSON(used as protobuf.INamespace).resolveAll();
  const service = root.lookupService('temporal.api.workflowservice.v1.WorkflowService');
  expect(Object.keys(service.methods)).toEqual(['DescribeSchedule']);
  const response = root.lookupType('temporal.api.workflowservice.v1.DescribeScheduleResponse');
  expect(response.fields.schedule?.resolvedType?.fullName).toBe('.temporal.api.schedule.v1.Schedule');
});
