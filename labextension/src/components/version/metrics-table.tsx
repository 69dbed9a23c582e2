import type { IComparedMetric, IVersionDetail } from '../../tokens';
import { Sparkline } from '../endpoint/sparkline';
import { formatMetric } from '../metrics';
import { useTrans } from '../trans';

/** The metrics of a version beside the champion's, each with its curve. */
export function MetricsTable({ detail }: { detail: IVersionDetail }) {
  const { version, champion, metrics } = detail;
  const trans = useTrans();
  const hasCurves = metrics.some(({ values }) => isCurve(values));
  return (
    <div
      className="nbmlops-Version-scroll"
      tabIndex={0}
      role="group"
      aria-label={trans.__('Metrics')}
    >
      <table className="nbmlops-Table">
        <thead>
          <tr>
            <th scope="col">{trans.__('Metric')}</th>
            <th scope="col">{trans.__('Version %1', version.version)}</th>
            {champion && (
              <>
                <th scope="col">
                  {trans.__('Champion, version %1', champion.version)}
                </th>
                <th scope="col">{trans.__('Change')}</th>
              </>
            )}
            {hasCurves && <th scope="col">{trans.__('Curve')}</th>}
          </tr>
        </thead>
        <tbody>
          {metrics.map(metric => (
            <tr key={metric.name}>
              <th scope="row">{metric.name}</th>
              <td>{toText(version.metrics[metric.name])}</td>
              {champion && (
                <>
                  <td>{toText(champion.metrics[metric.name])}</td>
                  <td>
                    <Change metric={metric} />
                  </td>
                </>
              )}
              {hasCurves && (
                <td>
                  <Curve metric={metric} />
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** By how much a metric differs from the champion's, and whether that is good. */
function Change({ metric }: { metric: IComparedMetric }) {
  const { change, is_better } = metric;
  const trans = useTrans();
  if (change === null) {
    return '–';
  }
  if (change === 0) {
    return trans.__('equal');
  }
  const amount = `${change > 0 ? '+' : '−'}${formatMetric(Math.abs(change))}`;
  if (is_better === null) {
    return amount;
  }
  return (
    <span className="nbmlops-Change" data-state={is_better ? 'ready' : 'failed'}>
      {amount} <span>{is_better ? trans.__('better') : trans.__('worse')}</span>
    </span>
  );
}

/** The values over the steps, from the least to the largest. */
function Curve({ metric }: { metric: IComparedMetric }) {
  const { name, steps, values } = metric;
  const trans = useTrans();
  if (!isCurve(values)) {
    return null;
  }
  const known = values.filter(value => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const range = trans.__(
    '%1 to %2 in steps %3 to %4',
    formatMetric(low),
    formatMetric(high),
    steps[0] ?? 0,
    steps.at(-1) ?? 0
  );
  return (
    <span
      className="nbmlops-Line"
      role="img"
      aria-label={trans.__('%1: %2', name, range)}
      title={range}
    >
      <Sparkline
        values={values.map(value => (value === null ? null : value - low))}
        n={values.length}
      />
    </span>
  );
}

const isCurve = (values: IComparedMetric['values']) =>
  values.filter(value => value !== null).length > 1;

const toText = (value: IVersionDetail['version']['metrics'][string] | undefined) =>
  value === undefined ? '–' : formatMetric(value);
