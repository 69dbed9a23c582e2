import { Time } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { IRun } from '../tokens';
import { formatMetric } from './metrics';

/** What MLflow has of a run. */
export function RunDetails(props: { run: IRun; trans: TranslationBundle }) {
  const { run, trans } = props;
  const { started_at, metrics } = run;
  const { named, changed, others } = groupParams(run);
  return (
    <div className="nbmlops-Form">
      <div className="nbmlops-Summary">
        <p>
          <strong>{run.name}</strong> {run.status}
        </p>
        <div className="nbmlops-Fine">
          <span>{trans.__('Experiment: %1', run.experiment)}</span>
          <time dateTime={started_at}>{Time.format(new Date(started_at))}</time>
        </div>
        <code className="nbmlops-RunId">{run.run_id}</code>
        {run.url !== null && (
          <a
            className="nbmlops-Link"
            href={run.url}
            target="_blank"
            rel="noopener noreferrer"
          >
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
  const quiet = new Set(autologged.default);
  const all = Object.entries(params);
  return {
    named: all.filter(([name]) => !(name in names) && !quiet.has(name)),
    changed: all
      .filter(([name]) => name in names)
      .map(([name, value]): [string, string] => [names[name] ?? name, value]),
    others: all.filter(([name]) => quiet.has(name))
  };
}

function Values(props: { title: string; values: [string, string][] }) {
  const { title, values } = props;
  if (values.length === 0) {
    return null;
  }
  return (
    <section aria-label={title}>
      <h3 className="nbmlops-Subtitle">{title}</h3>
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
