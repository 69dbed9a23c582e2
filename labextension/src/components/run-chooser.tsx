import { Time } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { ICandidates, IModelVersion, IRun } from '../tokens';
import { Field } from './field';
import { formatMetric, Metrics } from './metrics';
import { OrderBadge } from './run-details';
import { useTrans } from './trans';

const N_PARAMS = 5;

/** Asks which run to register, and shows what it would replace. */
export function RunChooser(props: {
  candidates: ICandidates;
  run: IRun;
  alias: string;
  onChoose: (runId: string) => void;
}) {
  const { candidates, run, alias, onChoose } = props;
  const { runs, replaced, modes } = candidates;
  const trans = useTrans();
  return (
    <>
      <Field label={trans.__('Run')}>
        {control => (
          <div className="jp-select-wrapper">
            <select
              {...control}
              className="jp-mod-styled"
              value={run.run_id}
              onChange={event => onChoose(event.target.value)}
            >
              {runs.map(each => (
                <option key={each.run_id} value={each.run_id}>
                  {describeRun(each, candidates, trans)}
                </option>
              ))}
            </select>
          </div>
        )}
      </Field>
      <div className="nbmlops-Summary">
        <p className="nbmlops-Line nbmlops-Fine">
          <span>{trans.__('Experiment: %1', run.experiment)}</span>
          <time dateTime={run.started_at} title={Time.format(new Date(run.started_at))}>
            {Time.formatHuman(new Date(run.started_at))}
          </time>
          <OrderBadge note={run.order_note} />
        </p>
        {replaced ? (
          <Replaced run={run} replaced={replaced} alias={alias} modes={modes} />
        ) : (
          <>
            <Metrics metrics={run.metrics} />
            {alias && (
              <p className="nbmlops-Fine">
                {trans.__('No version has the alias %1 yet.', alias)}
              </p>
            )}
          </>
        )}
      </div>
    </>
  );
}

/** How a run compares with the version that the alias names now. */
function Replaced(props: {
  run: IRun;
  replaced: IModelVersion;
  alias: string;
  modes: ICandidates['modes'];
}) {
  const { run, replaced, alias, modes } = props;
  const trans = useTrans();
  const metrics = [
    ...new Set([...Object.keys(run.metrics), ...Object.keys(replaced.metrics)])
  ].sort();
  const params = changedParams(run, replaced);
  return (
    <>
      <p>{trans.__('It replaces version %1 as %2.', replaced.version, alias)}</p>
      {metrics.length > 0 && (
        <table className="nbmlops-Table">
          <thead>
            <tr>
              <th scope="col">{trans.__('Metric')}</th>
              <th scope="col">{trans.__('This run')}</th>
              <th scope="col">{trans.__('Version %1', replaced.version)}</th>
              <th scope="col">{trans.__('Difference')}</th>
            </tr>
          </thead>
          <tbody>
            {metrics.map(name => (
              <MetricRow
                key={name}
                name={name}
                value={run.metrics[name]}
                before={replaced.metrics[name]}
                mode={modes[name]}
              />
            ))}
          </tbody>
        </table>
      )}
      <Changes params={params} />
    </>
  );
}

/** The params that differ, the first few at once. */
function Changes({ params }: { params: string[] }) {
  const trans = useTrans();
  const more = params.slice(N_PARAMS);
  return params.length === 0 ? null : (
    <div className="nbmlops-Fine">
      <p>{trans.__('Changed: %1', params.slice(0, N_PARAMS).join(', '))}</p>
      {more.length > 0 && (
        <details>
          <summary>{trans._n('%1 more', '%1 more', more.length)}</summary>
          <p>{more.join(', ')}</p>
        </details>
      )}
    </div>
  );
}

type Value = IRun['metrics'][string] | undefined;

function MetricRow(props: {
  name: string;
  value: Value;
  before: Value;
  mode?: 'max' | 'min';
}) {
  const { name, value, before, mode } = props;
  const trans = useTrans();
  const difference =
    typeof value === 'number' && typeof before === 'number' ? value - before : null;
  const isBetter = difference && mode ? difference > 0 === (mode === 'max') : undefined;
  const state = isBetter === undefined ? undefined : isBetter ? 'ready' : 'failed';
  return (
    <tr>
      <th scope="row">{name}</th>
      <td>{value === undefined ? '–' : formatMetric(value)}</td>
      <td>{before === undefined ? '–' : formatMetric(before)}</td>
      <td data-state={state}>
        {difference === null
          ? ''
          : `${difference > 0 ? '+' : ''}${formatMetric(difference)}`}
        {isBetter !== undefined &&
          ` ${isBetter ? trans.__('better') : trans.__('worse')}`}
      </td>
    </tr>
  );
}

function describeRun(
  run: IRun,
  candidates: ICandidates,
  trans: TranslationBundle
): string {
  const { best, newest, metric } = candidates;
  const value = metric === null ? undefined : run.metrics[metric];
  const parts = [
    run.run_id === best && trans.__('best'),
    run.run_id === newest && trans.__('newest'),
    value !== undefined && `${metric} ${formatMetric(value)}`,
    Time.formatHuman(new Date(run.started_at))
  ];
  return `${run.name} · ${parts.filter(Boolean).join(' · ')}`;
}

/** Return the params that differ, as `name before → now`; those of parts last. */
function changedParams(run: IRun, replaced: IModelVersion): string[] {
  const names = new Set([...Object.keys(run.params), ...Object.keys(replaced.params)]);
  const isOfPart = (name: string) => Number(name.includes('__'));
  return [...names]
    .filter(name => run.params[name] !== replaced.params[name])
    .sort((a, b) => isOfPart(a) - isOfPart(b) || a.localeCompare(b))
    .map(
      name => `${name} ${replaced.params[name] ?? '–'} → ${run.params[name] ?? '–'}`
    );
}
