import type { IEndpointMetrics, IVersionMetrics } from '../../tokens';
import { useTrans } from '../trans';
import { formatNumber, toSeries } from './series';
import { Sparkline } from './sparkline';

/** What each version answers just now, and how that was in the last minute. */
export function MetricsTable(props: {
  history: readonly IEndpointMetrics[];
  n: number;
}) {
  const { history, n } = props;
  const trans = useTrans();
  const now = [...history].reverse().find(({ versions }) => versions.length > 0);
  if (!now) {
    return <p role="status">{trans.__('Reading the metrics…')}</p>;
  }
  return (
    <table className="nbmlops-EndpointMetrics">
      <caption className="jp-sr-only">
        {trans.__('Versions, and what they have answered in the last minute')}
      </caption>
      <thead>
        <tr>
          <th scope="col">{trans.__('Version')}</th>
          <th scope="col">{trans.__('Share')}</th>
          <th scope="col">{trans.__('Requests a second')}</th>
          <th scope="col">{trans.__('p50, ms')}</th>
          <th scope="col">{trans.__('p99, ms')}</th>
          <th scope="col">{trans.__('Errors')}</th>
          <th scope="col">{trans.__('Requests')}</th>
        </tr>
      </thead>
      <tbody>
        {now.versions.map(each => (
          <VersionRow key={each.version} metrics={each} history={history} n={n} />
        ))}
      </tbody>
    </table>
  );
}

function VersionRow(props: {
  metrics: IVersionMetrics;
  history: readonly IEndpointMetrics[];
  n: number;
}) {
  const { metrics, history, n } = props;
  const { version, role, share, n_requests, n_refused, n_errors } = metrics;
  const trans = useTrans();
  const series = toSeries(history, version);
  const roles: Record<IVersionMetrics['role'], string> = {
    champion: trans.__('champion'),
    canary: trans.__('canary'),
    shadow: trans.__('shadow')
  };
  return (
    <tr>
      <th scope="row">
        {version} <span className="nbmlops-Chip">{roles[role]}</span>
      </th>
      <td>
        {role === 'shadow'
          ? trans.__('copies')
          : trans.__('%1%', Math.round(share * 1000) / 10)}
      </td>
      <Cell value={metrics.requests_per_s} values={series.requests} n={n} />
      <Cell value={metrics.latency_ms_p50} values={series.p50} n={n} />
      <Cell value={metrics.latency_ms_p99} values={series.p99} n={n} />
      <Cell value={n_errors} values={series.errors} n={n} isBad={n_errors > 0} />
      <td>
        {n_requests}
        {n_refused > 0 && (
          <div className="nbmlops-Fine">{trans.__('%1 refused', n_refused)}</div>
        )}
      </td>
    </tr>
  );
}

function Cell(props: {
  value: number | null;
  values: readonly (number | null)[];
  n: number;
  isBad?: boolean;
}) {
  const { value, values, n, isBad = false } = props;
  return (
    <td data-state={isBad ? 'failed' : undefined}>
      <span>{formatNumber(value)}</span>
      <Sparkline values={values} n={n} />
    </td>
  );
}
