import { Time } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { IRun } from '../tokens';
import { Metrics } from './metrics';
import { OrderBadge } from './order-badge';

/** The run whose model is about to be registered. */
export function RunSummary(props: { run: IRun; trans: TranslationBundle }) {
  const { run, trans } = props;
  const { name, experiment, started_at, metrics, order_note } = run;
  return (
    <div className="nbmlops-Summary">
      <p>
        {trans.__('Newest run with a model:')} <strong>{name}</strong>{' '}
        <OrderBadge note={order_note} trans={trans} />
      </p>
      <div className="nbmlops-Fine">
        <span>{trans.__('Experiment: %1', experiment)}</span>
        <time dateTime={started_at} title={Time.format(new Date(started_at))}>
          {Time.formatHuman(new Date(started_at))}
        </time>
      </div>
      <Metrics metrics={metrics} trans={trans} />
    </div>
  );
}
