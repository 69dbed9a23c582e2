import type { TranslationBundle } from '@jupyterlab/translation';
import { useState } from 'react';

import type { Metric } from '../tokens';

const N_SHOWN = 3;

/** The first metrics by name, and the others on request. */
export function Metrics(props: {
  metrics: Record<string, Metric>;
  trans: TranslationBundle;
}) {
  const { metrics, trans } = props;
  const [isExpanded, setExpanded] = useState(false);
  const all = Object.entries(metrics).sort(([a], [b]) => a.localeCompare(b));
  if (all.length === 0) {
    return null;
  }
  const n_more = all.length - N_SHOWN;
  return (
    <div className="nbmlops-Metrics">
      <dl title={all.map(([name, value]) => `${name} ${value}`).join('\n')}>
        {all.slice(0, isExpanded ? undefined : N_SHOWN).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt> <dd>{formatMetric(value)}</dd>
          </div>
        ))}
      </dl>
      {n_more > 0 && (
        <button
          type="button"
          className="nbmlops-Link"
          aria-expanded={isExpanded}
          onClick={() => setExpanded(!isExpanded)}
        >
          {isExpanded
            ? trans.__('fewer metrics')
            : trans._n('%1 more metric', '%1 more metrics', n_more)}
        </button>
      )}
    </div>
  );
}

/** Return a metric in at most four significant digits. */
export function formatMetric(value: Metric): string {
  return typeof value === 'number' && !Number.isInteger(value)
    ? String(Number(value.toPrecision(4)))
    : String(value);
}
