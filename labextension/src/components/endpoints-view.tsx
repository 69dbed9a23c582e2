import {
  checkIcon,
  errorIcon,
  historyIcon,
  type LabIcon,
  offlineBoltIcon
} from '@jupyterlab/ui-components';

import type { IEndpoint, IListing } from '../tokens';
import { CopyButton, SmallButton } from './buttons';
import { ListingView } from './listing-view';
import { useTrans } from './trans';

export interface IEndpointsViewProps {
  endpoints: IListing<IEndpoint>;
  onPredict: (endpoint: IEndpoint) => void;
  onStop: (endpoint: IEndpoint) => void;
}

const STATE_ICONS: Record<IEndpoint['state'], LabIcon> = {
  starting: historyIcon,
  ready: checkIcon,
  unresponsive: offlineBoltIcon,
  dead: errorIcon
};

/** Every endpoint: its state, what answers there, and what can be done. */
export function EndpointsView(props: IEndpointsViewProps) {
  const trans = useTrans();
  return (
    <ListingView
      listing={props.endpoints}
      label={trans.__('Endpoints')}
      empty={[
        trans.__('Nothing is deployed.'),
        trans.__('Open a registered model above and deploy one of its versions.')
      ]}
    >
      {endpoint => <EndpointItem key={endpoint.name} endpoint={endpoint} {...props} />}
    </ListingView>
  );
}

function EndpointItem(props: { endpoint: IEndpoint } & IEndpointsViewProps) {
  const { endpoint, onPredict, onStop } = props;
  const { name, model, version, alias, url, state, message } = endpoint;
  const trans = useTrans();
  const states: Record<IEndpoint['state'], string> = {
    starting: trans.__('Starting'),
    ready: trans.__('Ready'),
    unresponsive: trans.__('Not answering'),
    dead: trans.__('Dead')
  };
  const StateIcon = STATE_ICONS[state];
  return (
    <li className="nbmlops-Item">
      <div className="nbmlops-Line">
        <span className="nbmlops-Name nbmlops-Ellipsis" title={name}>
          {name}
        </span>
        <span className="nbmlops-State nbmlops-mod-end" data-state={state}>
          <StateIcon.react tag="span" className="nbmlops-Icon" />
          {states[state]}
        </span>
      </div>
      <div className="nbmlops-Line nbmlops-Fine">
        <span className="nbmlops-Ellipsis">
          {trans.__('%1 version %2', model, version)}
        </span>
        {alias && <span className="nbmlops-Chip nbmlops-Ellipsis">{alias}</span>}
      </div>
      {message && <p>{message}</p>}
      <div className="nbmlops-Url">
        <code className="nbmlops-Ellipsis" title={url}>
          {url}
        </code>
        <CopyButton url={url} />
      </div>
      <div className="nbmlops-Line">
        <SmallButton
          aria-label={trans.__('Predict with endpoint %1', name)}
          disabled={state !== 'ready'}
          onClick={() => onPredict(endpoint)}
        >
          {trans.__('Predict…')}
        </SmallButton>
        <SmallButton
          aria-label={trans.__('Stop endpoint %1', name)}
          onClick={() => onStop(endpoint)}
        >
          {trans.__('Stop')}
        </SmallButton>
      </div>
    </li>
  );
}
