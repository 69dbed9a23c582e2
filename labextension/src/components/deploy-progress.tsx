import type { TranslationBundle } from '@jupyterlab/translation';
import {
  checkIcon,
  circleEmptyIcon,
  errorIcon,
  type LabIcon,
  refreshIcon
} from '@jupyterlab/ui-components';

import type { IStep, StepName } from '../tokens';

const STEP_ICONS: Record<IStep['state'], LabIcon> = {
  waiting: circleEmptyIcon,
  running: refreshIcon,
  done: checkIcon,
  failed: errorIcon
};

/** The steps of a deployment, and how far it has come. */
export function DeployProgress(props: {
  steps: readonly IStep[];
  trans: TranslationBundle;
}) {
  const { steps, trans } = props;
  const current = steps.find(({ state }) => state === 'running' || state === 'failed');
  return (
    <>
      <ol className="nbmlops-Steps" aria-label={trans.__('Steps')}>
        {steps.map(({ name, state, detail }) => {
          const Icon = STEP_ICONS[state];
          return (
            <li
              key={name}
              data-state={state}
              aria-current={state === 'running' ? 'step' : undefined}
            >
              <Icon.react tag="span" className="nbmlops-Steps-icon" />
              <span className="nbmlops-Steps-name">{stepLabel(name, trans)}</span>
              <span className="nbmlops-Steps-state">
                {detail || stateLabel(state, trans)}
              </span>
            </li>
          );
        })}
      </ol>
      <p className="nbmlops-Hidden" role="status">
        {current
          ? `${stepLabel(current.name, trans)}: ${stateLabel(current.state, trans)}`
          : trans.__('Done')}
      </p>
    </>
  );
}

function stepLabel(name: StepName, trans: TranslationBundle): string {
  switch (name) {
    case 'register':
      return trans.__('Register');
    case 'deploy':
      return trans.__('Deploy');
    case 'ready':
      return trans.__('Ready');
  }
}

function stateLabel(state: IStep['state'], trans: TranslationBundle): string {
  switch (state) {
    case 'waiting':
      return trans.__('not started');
    case 'running':
      return trans.__('under way…');
    case 'done':
      return trans.__('done');
    case 'failed':
      return trans.__('failed');
  }
}
