import { useState } from 'react';

import type { IRun, Metric } from '../tokens';
import { LinkButton } from './buttons';
import { useTrans } from './trans';

const N_SHOWN = 3;

/** The first metrics by name, and the others on request. */
export function Metrics({ metrics }: { metrics: IRun['metrics'] }) {
  const trans = useTrans();
  const [isExpanded, setExpanded] = useState(false);
  const all = Object.entries(metrics).sort(([a], [b]) => a.localeCompare(b));
  if (all.length === 0) {
    return null;
  }
  const n_more = all.length - N_SHOWN;
  return (
    <div className="nbmlops-Line">
      <dl
        className="nbmlops-Metrics"
        title={all.map(([name, value]) => `${name} ${value}`).join('\n')}
      >
        {all.slice(0, isExpanded ? undefined : N_SHOWN).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt> <dd>{formatMetric(value)}</dd>
          </div>
        ))}
      </dl>
      {n_more > 0 && (
        <LinkButton aria-expanded={isExpanded} onClick={() => setExpanded(!isExpanded)}>
          {isExpanded
            ? trans.__('fewer metrics')
            : trans._n('%1 more metric', '%1 more metrics', n_more)}
        </LinkButton>
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
