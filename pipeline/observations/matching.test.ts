import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Matchable, Unmatched } from './matching.ts';

/** The rule as observations.md section 7 writes it: a list from which what is found is removed. */
class Specified {
  private readonly list: Matchable[];

  constructor(list: readonly Matchable[]) {
    this.list = [...list];
  }

  take(id: number | null, ip: string | null): Matchable | null {
    let found = id ? this.list.find(each => each.transaction_id === id) : undefined;
    if (!found && ip) found = this.list.find(each => each.ip === ip);
    if (found) this.list.splice(this.list.indexOf(found), 1);
    return found ?? null;
  }
}

const id = fc.constantFrom(null, 0, 1, 2, 3, 4);
const ip = fc.constantFrom(null, '', 'a', 'b', 'c');
const item = fc.record({ transaction_id: id, ip });

describe('Unmatched', () => {
  // Lists up to 32 are scanned, longer ones indexed.
  it.each([10, 200])('takes what the rule takes, in lists of up to %d', size => {
    fc.assert(
      fc.property(
        fc.array(item, { maxLength: size }),
        fc.array(fc.tuple(id, ip), { maxLength: size }),
        (items, questions) => {
          const list = items.map(each => ({ ...each, taken: false }));
          const unmatched = new Unmatched(list);
          const specified = new Specified(list);
          for (const [wantedId, wantedIp] of questions) {
            expect(unmatched.take(wantedId, wantedIp)).toBe(specified.take(wantedId, wantedIp));
          }
        },
      ),
    );
  });

  it('is not quadratic', () => {
    const many = Array.from({ length: 200_000 }, (_, i) => ({ transaction_id: i, ip: 'x', taken: false }));
    const unmatched = new Unmatched(many);
    let found = 0;
    for (let i = many.length; i > 0; i--) if (unmatched.take(i, 'x')) found++;
    expect(found).toBe(many.length);
  });
});
