import {
  checkIcon,
  errorIcon,
  historyIcon,
  type LabIcon,
  offlineBoltIcon
} from '@jupyterlab/ui-components';

import type { IEndpoint } from '../tokens';
import { useTrans } from './trans';

const ICONS: Record<IEndpoint['state'], LabIcon> = {
  starting: historyIcon,
  ready: checkIcon,
  unresponsive: offlineBoltIcon,
  dead: errorIcon
};

/** The state of an endpoint: an icon and its word. */
export function EndpointState(props: {
  state: IEndpoint['state'];
  className?: string;
}) {
  const { state, className = '' } = props;
  const trans = useTrans();
  const words: Record<IEndpoint['state'], string> = {
    starting: trans.__('Starting'),
    ready: trans.__('Ready'),
    unresponsive: trans.__('Not answering'),
    dead: trans.__('Dead')
  };
  const Icon = ICONS[state];
  return (
    <span className={`nbmlops-State ${className}`} data-state={state}>
      <Icon.react tag="span" className="nbmlops-Icon" />
      {words[state]}
    </span>
  );
}
