/** A live map whose callbacks are recorded. */
import { liveMap } from "../dist/kvgateway.js";
import { until } from "./scripted.js";

/** Makes a live map, and records what its callbacks are given. */
export function watched(t, url, options = {}) {
  const statuses = [];
  const calls = [];
  const live = liveMap(url, {
    retry: 20,
    onStatus: (status, detail) => statuses.push({ status, ...detail }),
    onChange: (changes, cause) =>
      calls.push({ cause, keys: changes.map(({ key }) => key), changes, shown: values(live) }),
    ...options,
  });
  t.after(() => live.close());
  return {
    live,
    statuses,
    calls,
    reached: (status) => until(status, () => live.status === status),
  };
}

export const values = (live) =>
  Object.fromEntries([...live.map].map(([key, { value }]) => [key, value]));
