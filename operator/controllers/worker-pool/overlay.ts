type Json = unknown;
type JsonObject = Record<string, Json>;

const isObject = (value: Json): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Lists of a pod template that the API server merges by a key of their items. Any other list is replaced. `whole`: items are replaced
 * instead of merged (an env entry has either value or valueFrom).
 */
const KEYED: Record<string, { key: string; whole?: boolean }> = {
  containers: { key: 'name' },
  initContainers: { key: 'name' },
  volumes: { key: 'name', whole: true },
  env: { key: 'name', whole: true },
  ports: { key: 'containerPort' },
  volumeMounts: { key: 'mountPath', whole: true },
  imagePullSecrets: { key: 'name', whole: true },
};

/** Returns `base` overlaid by `over`: objects are merged, lists with keys are merged by key, everything else is replaced; null removes. */
export function overlay(base: Json, over: Json, field = ''): Json {
  if (isObject(base) && isObject(over)) {
    const result: JsonObject = { ...base };
    for (const [name, value] of Object.entries(over)) {
      if (value === null) delete result[name];
      else if (value !== undefined) result[name] = overlay(base[name], value, name);
    }
    return result;
  }
  const keyed = KEYED[field];
  if (
    Array.isArray(base) &&
    Array.isArray(over) &&
    keyed &&
    [...base, ...over].every(item => isObject(item) && keyed.key in item)
  ) {
    const result: JsonObject[] = [...base];
    for (const item of over as JsonObject[]) {
      const at = result.findIndex(one => one[keyed.key] === item[keyed.key]);
      if (at < 0) result.push(item);
      else result[at] = keyed.whole ? item : (overlay(result[at], item) as JsonObject);
    }
    return result;
  }
  return over;
}

/** Returns whether `live` has every value of `desired`. More values are not drift: the API server adds defaults, others own fields. */
export function covers(live: Json, desired: Json, field = ''): boolean {
  if (isObject(desired)) {
    if (!isObject(live)) return Object.keys(desired).length === 0 && live === undefined;
    return Object.entries(desired).every(([name, value]) => value === undefined || covers(live[name], value, name));
  }
  if (Array.isArray(desired)) {
    if (!Array.isArray(live)) return desired.length === 0 && live === undefined;
    const keyed = KEYED[field] ?? (field === 'ownerReferences' ? { key: 'uid' } : undefined);
    if (keyed) {
      return desired.every(item => live.some(one => one?.[keyed.key] === item[keyed.key] && covers(one, item)));
    }
    return live.length === desired.length && desired.every((item, index) => covers(live[index], item));
  }
  return live === desired;
}
