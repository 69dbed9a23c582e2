import type { IEndpointMetrics, IVersionMetrics } from '../../tokens';

export interface ISeries {
  requests: (number | null)[];
  p50: (number | null)[];
  p99: (number | null)[];
  errors: (number | null)[];
}

/** Return how a version has done of late, a value a reading. */
export function toSeries(
  history: readonly IEndpointMetrics[],
  version: number
): ISeries {
  const found = history.map(({ versions }) =>
    versions.find(each => each.version === version)
  );
  const busy = (read: (metrics: IVersionMetrics) => number | null) =>
    found.map(each => (each && each.requests_per_s > 0 ? read(each) : null));
  return {
    requests: found.map(each => each?.requests_per_s ?? null),
    p50: busy(each => each.latency_ms_p50),
    p99: busy(each => each.latency_ms_p99),
    errors: found.map((each, index) => {
      const before = found[index - 1];
      // A new process, after a promotion, say, counts from zero.
      return each && before ? Math.max(0, each.n_errors - before.n_errors) : null;
    })
  };
}

/** Return a number in three digits, a dash for none. */
export function formatNumber(value: number | null): string {
  if (value === null) {
    return '–';
  }
  return value >= 100
    ? String(Math.round(value))
    : String(Number(value.toPrecision(3)));
}
