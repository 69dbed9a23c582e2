import {
  checkIcon,
  circleEmptyIcon,
  errorIcon,
  type LabIcon,
  refreshIcon
} from '@jupyterlab/ui-components';

import type { IEndpointDetail, IProblem, IStep } from '../tokens';
import { CopyButton } from './buttons';
import { PredictForm } from './predict-form';
import { useTrans } from './trans';

const STEP_ICONS: Record<IStep['state'], LabIcon> = {
  waiting: circleEmptyIcon,
  running: refreshIcon,
  done: checkIcon,
  failed: errorIcon
};

/** The steps of a deployment, and how far it has come. */
export function DeployProgress({ steps }: { steps: readonly IStep[] }) {
  const trans = useTrans();
  const names: Record<IStep['name'], string> = {
    register: trans.__('Register'),
    deploy: trans.__('Deploy'),
    ready: trans.__('Ready')
  };
  const states: Record<IStep['state'], string> = {
    waiting: trans.__('not started'),
    running: trans.__('running…'),
    done: trans.__('done'),
    failed: trans.__('failed')
  };
  const current = steps.find(({ state }) => state === 'running' || state === 'failed');
  return (
    <>
      <ol className="nbmlops-List" aria-label={trans.__('Steps')}>
        {steps.map(({ name, state, detail }) => {
          const Icon = STEP_ICONS[state];
          return (
            <li
              key={name}
              className="nbmlops-Step"
              data-state={state}
              aria-current={state === 'running' ? 'step' : undefined}
            >
              <Icon.react tag="span" className="nbmlops-Icon" />
              <span className="nbmlops-Step-name">{names[name]}</span>
              <span className="nbmlops-Step-detail">{detail || states[state]}</span>
            </li>
          );
        })}
      </ol>
      <p className="jp-sr-only" role="status">
        {current
          ? `${names[current.name]}: ${states[current.state]}`
          : trans.__('Done')}
      </p>
    </>
  );
}

/** Where the endpoint answers, and a row to try there. */
export function DeployResult(props: {
  endpoint: IEndpointDetail;
  onPredict: (payload: string) => Promise<unknown>;
  explain: (error: unknown) => IProblem;
}) {
  const { endpoint } = props;
  const trans = useTrans();
  return (
    <>
      <div className="nbmlops-Url">
        <span>{trans.__('URL')}</span>
        <code className="nbmlops-Ellipsis">{endpoint.url}</code>
        <CopyButton url={endpoint.url} />
      </div>
      <PredictForm {...props} example={endpoint.example} />
    </>
  );
}
