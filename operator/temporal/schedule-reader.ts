import type { Clock } from '../kube/clock.ts';
import { TemporalError, TemporalUnavailable } from './errors.ts';
import type { ListedSchedule, ScheduleList } from './schedule-list.ts';
import type { DescribedSchedule, PauseState, ScheduleRequest, ScheduleState } from './schedules.ts';

/** Requests of the reader. */
export interface ScheduleSource {
  /** Returns the schedule as it is now; undefined when it does not exist. */
  describe(id: string): Promise<DescribedSchedule | undefined>;
  /** Returns all schedules as they were some seconds ago. */
  list(): Promise<ScheduleList>;
}

/** Record in the status of a PipelineSchedule: the schedule with which it was in force. */
export interface ScheduleRecord {
  readonly ownerUID: string;
  readonly hash: string;
  readonly described: string;
}

/** Milliseconds for which a list is used, and the same while it does not show a new schedule yet. */
const LIST_TTL = 15_000;
const SOON_TTL = 2_000;
/** Milliseconds by which a list may be behind. A list of this time after a description or a write does not contradict it. */
const LAG = 10_000;
/** Milliseconds after which a new schedule is described although a list does not show it. */
const UNSEEN = 30_000;
/** Milliseconds between two descriptions of a schedule, at least. A list shows most changes earlier. */
const AUDIT = 15_000;
/** Descriptions at a time that no change requires. A slow Temporal gets fewer of them. */
const AT_ONCE = 2;

/** Knowledge of the reader about a schedule. */
interface Known {
  readonly state: ScheduleState;
  /** `print` in the lists that show this state. */
  readonly prints: readonly string[];
  /** Monotonic time of the description; undefined: this process has not described it. */
  readonly describedAt?: number;
  /** Monotonic time of the creation by this process; undefined once a description or a list has shown the schedule. */
  readonly createdAt?: number;
  /** Monotonic time from which on lists count. */
  readonly listsFrom: number;
}

interface Answer {
  /** Monotonic time of the request. */
  readonly at: number;
  /** Undefined: the list could not be read. */
  readonly schedules: ScheduleList | undefined;
  /** Milliseconds that the answer took. */
  readonly took: number;
}

/**
 * Reads schedules with few requests. A description of a schedule is a query of a workflow in Temporal, so a thousand of them are slow. One list
 * for all schedules shows most changes, and a description follows where the list differs from the known state. A list has neither arguments nor
 * policies, so each schedule is also described from time to time. The number of descriptions per second has a limit; of many schedules, each is
 * described less often. A decision to change a schedule needs its state from `describe`.
 */
export class ScheduleReader {
  readonly #source: ScheduleSource;
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #perSecond: number;
  readonly #known = new Map<string, Known>();
  /** Schedules that the operator has written, with an unknown effect. */
  readonly #doubtful = new Set<string>();
  #listing: Promise<Answer> | undefined;
  #listed: Answer | undefined;
  /** Number of descriptions that no change requires and that run now, and the monotonic time from which on the next one may begin. */
  #running = 0;
  #nextAt = Number.NEGATIVE_INFINITY;

  /** @param perSecond limit of the descriptions that no change requires */
  constructor(source: ScheduleSource, clock: Pick<Clock, 'monotonic'>, perSecond: number) {
    this.#source = source;
    this.#clock = clock;
    this.#perSecond = perSecond;
  }

  /**
   * Returns the state of a schedule, which may be seconds old; undefined when it probably does not exist: an attempt to create it decides.
   * Throws the errors of the source.
   *
   * @param record record in the status of the resource, for the first read of this process
   */
  async read(id: string, record?: ScheduleRecord): Promise<ScheduleState | undefined> {
    if (this.#doubtful.has(id)) return this.describe(id);
    const { at, schedules } = await this.#newest(this.#known.get(id)?.createdAt !== undefined);
    // The store of lists may be away while Temporal describes schedules.
    if (!schedules) return this.describe(id);
    const entry = schedules.get(id);
    const known = this.#known.get(id) ?? this.#remember(id, record, entry, at);
    if (!known) return entry || record ? this.describe(id) : undefined;
    const now = this.#clock.monotonic();
    if (known.createdAt !== undefined && !entry && now - known.createdAt > UNSEEN) return this.describe(id);
    const found = this.#isDue(known, entry, at, now) ? await this.#tryToDescribe(id) : 'later';
    if (found !== 'later') return found;
    if (known.createdAt === undefined)
      return entry && at >= known.listsFrom ? { ...known.state, ...shown(entry) } : known.state;
    if (!entry || at < known.createdAt) return known.state;
    const { unseen: _, ...state } = { ...known.state, ...shown(entry) };
    this.#known.set(id, { state, prints: [entry.print], listsFrom: known.createdAt + LAG });
    return state;
  }

  /** Returns the state of a schedule as it is now; undefined when it does not exist. Throws the errors of the source. */
  async describe(id: string): Promise<DescribedSchedule | undefined> {
    const now = this.#clock.monotonic();
    const described = await this.#source.describe(id);
    this.#doubtful.delete(id);
    if (!described) {
      this.#known.delete(id);
      return undefined;
    }
    const { ownerUID, hash, described: print, paused, note, nextFirings, recent } = described;
    // Only these are kept in memory, of each schedule.
    const state: ScheduleState = { ownerUID, hash, described: print, paused, note, nextFirings, recent };
    // A server may show the times in a list otherwise than in a description. The description is newer than this list.
    const listed = this.#listed?.schedules?.get(id)?.print;
    const prints = listed === undefined ? [described.print] : [described.print, listed];
    this.#known.set(id, { state, prints, describedAt: now, listsFrom: now + LAG });
    return described;
  }

  /** Notes that the operator has created a schedule, or that its id was taken (`made` is false). */
  created({ id, hash, ownerUID }: ScheduleRequest, pause: PauseState, made: boolean): void {
    if (!made) {
      this.changed(id);
      return;
    }
    const now = this.#clock.monotonic();
    const state = { ownerUID, hash, ...pause, nextFirings: [], recent: [], unseen: true } as const;
    this.#known.set(id, { state, prints: [], createdAt: now, listsFrom: now + LAG });
  }

  /** Notes that the operator has written a schedule, or has tried to. The next read describes it. */
  changed(id: string): void {
    this.#doubtful.add(id);
  }

  /** Drops the memory of a schedule whose resource is gone. */
  forget(id: string): void {
    this.#known.delete(id);
    this.#doubtful.delete(id);
  }

  /** Remembers a schedule that both the status of its resource and a list show; undefined otherwise. */
  #remember(id: string, record: ScheduleRecord | undefined, entry: ListedSchedule | undefined, at: number) {
    if (!record || !entry) return undefined;
    const known: Known = { state: { ...record, ...shown(entry) }, prints: [entry.print], listsFrom: at };
    this.#known.set(id, known);
    return known;
  }

  /** Returns whether a description may show something new. */
  #isDue(
    { describedAt, listsFrom, prints }: Known,
    entry: ListedSchedule | undefined,
    at: number,
    now: number,
  ): boolean {
    if (describedAt === undefined) return true;
    // With more schedules than this time suffices for, half of the descriptions are left for changes.
    if (now - describedAt >= Math.max(AUDIT, (2 * 1000 * this.#known.size) / this.#perSecond)) return true;
    return at >= listsFrom && (!entry || !prints.includes(entry.print));
  }

  /** Describes a schedule if the limits allow it; otherwise, or when Temporal does not answer, returns 'later'. */
  async #tryToDescribe(id: string): Promise<DescribedSchedule | undefined | 'later'> {
    const now = this.#clock.monotonic();
    if (this.#running >= AT_ONCE || now < this.#nextAt) return 'later';
    this.#nextAt = Math.max(this.#nextAt, now - 1000) + 1000 / this.#perSecond;
    this.#running++;
    try {
      return await this.describe(id);
    } catch (error) {
      // The list is the answer then. When Temporal is away, the next list fails, too.
      if (!(error instanceof TemporalUnavailable)) throw error;
      this.#nextAt = this.#clock.monotonic() + 1000;
      return 'later';
    } finally {
      this.#running--;
    }
  }

  /** Returns the newest list. All schedules share one, and its failure. `soon`: a list of the last seconds. */
  #newest(soon: boolean): Promise<Answer> {
    const { at = Number.NEGATIVE_INFINITY, took = 0, schedules } = this.#listed ?? {};
    const ttl = soon && schedules ? Math.max(SOON_TTL, 2 * took) : LIST_TTL;
    if (this.#listed && this.#clock.monotonic() - at < ttl) return Promise.resolve(this.#listed);
    this.#listing ??= this.#read().finally(() => {
      this.#listing = undefined;
    });
    return this.#listing;
  }

  async #read(): Promise<Answer> {
    const at = this.#clock.monotonic();
    const schedules = await this.#source.list().catch(error => {
      if (error instanceof TemporalError) return undefined;
      throw error;
    });
    this.#listed = { at, schedules, took: this.#clock.monotonic() - at };
    return this.#listed;
  }
}

/** Returns the part of the state that a list shows. */
function shown({ paused, note, nextFirings, recent }: ListedSchedule) {
  return { paused, note, nextFirings, recent };
}
