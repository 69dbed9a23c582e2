import { Time } from '@jupyterlab/coreutils';

import type { IRun } from '../tokens';
import { formatMetric } from './metrics';
import { useTrans } from './trans';

/** Marks a run whose cells ran out of order. */
export function OrderBadge({ note }: { note: string | null }) {
  const trans = useTrans();
  return note ? (
    <span className="nbmlops-Chip nbmlops-Ellipsis nbmlops-mod-warn" title={note}>
      {trans.__('out of order')}
      <span className="jp-sr-only">: {note}</span>
    </span>
  ) : null;
}

/** What MLflow has of a run. */
export function RunDetails({ run }: { run: IRun }) {
  const { started_at, metrics } = run;
  const { named, changed, others } = groupParams(run);
  const trans = useTrans();
  return (
    <div className="nbmlops-Stack">
      <div className="nbmlops-Summary">
        <p>
          <strong>{run.name}</strong> {run.status}
        </p>
        <div className="nbmlops-Line nbmlops-Fine">
          <span>{trans.__('Experiment: %1', run.experiment)}</span>
          <time dateTime={started_at}>{Time.format(new Date(started_at))}</time>
        </div>
        <code>{run.run_id}</code>
        {run.url !== null && (
          <a href={run.url} target="_blank" rel="noopener noreferrer">
            {trans.__('Open in MLflow')}
          </a>
        )}
      </div>
      <Values
        title={trans.__('Metrics')}
        values={Object.entries(metrics).map(([name, value]) => [
          name,
          formatMetric(value)
        ])}
      />
      <Values title={trans.__('Params')} values={named} />
      <Values title={trans.__('Params set in the code')} values={changed} />
      {others.length > 0 && (
        <details>
          <summary>
            {trans._n(
              '%1 default of the estimator',
              '%1 defaults of the estimator',
              others.length
            )}
          </summary>
          <Values title={trans.__('Defaults')} values={others} />
        </details>
      )}
    </div>
  );
}

/** Params by who named them: the user, the user's code, or the estimator. */
function groupParams({ params, autologged }: IRun) {
  const names = autologged.changed;
  const defaults = new Set(autologged.default);
  const all = Object.entries(params);
  return {
    named: all.filter(([name]) => !(name in names) && !defaults.has(name)),
    changed: all
      .filter(([name]) => name in names)
      .map(([name, value]): [string, string] => [names[name] ?? name, value]),
    others: all.filter(([name]) => defaults.has(name))
  };
}

function Values({ title, values }: { title: string; values: [string, string][] }) {
  if (values.length === 0) {
    return null;
  }
  return (
    <section aria-label={title}>
      <h3>{title}</h3>
      <dl className="nbmlops-Values">
        {values
          .sort(([a], [b]) => a.localeCompare(b))
          .map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
      </dl>
    </section>
  );
}
