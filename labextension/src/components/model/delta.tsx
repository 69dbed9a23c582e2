import type { IModelVersion, Metric } from '../../tokens';
import { formatMetric } from '../metrics';
import { useTrans } from '../trans';

type Mode = IModelVersion['metric_modes'][string];

export interface IDelta {
  /** With its sign. */
  text: string;
  /** Null when the name of the metric does not tell. */
  isBetter: boolean | null;
}

/** Return how far a metric is from another one; null when that is no number, or none. */
export function toDelta(value: Metric, other: Metric, mode: Mode): IDelta | null {
  const by = Number(value) - Number(other);
  if (!Number.isFinite(by) || by === 0) {
    return null;
  }
  const text = `${by > 0 ? '+' : '−'}${formatMetric(Math.abs(by))}`;
  return { text, isBetter: mode === null ? null : by > 0 === (mode === 'max') };
}

/** A metric's distance from another one, in a colour and a word. */
export function Delta({ delta }: { delta: IDelta | null }) {
  const trans = useTrans();
  if (!delta) {
    return null;
  }
  const { text, isBetter } = delta;
  if (isBetter === null) {
    return <span className="nbmlops-Fine"> {text}</span>;
  }
  return (
    <span className="nbmlops-Delta" data-state={isBetter ? 'done' : 'failed'}>
      {' '}
      {isBetter ? trans.__('%1 better', text) : trans.__('%1 worse', text)}
    </span>
  );
}
