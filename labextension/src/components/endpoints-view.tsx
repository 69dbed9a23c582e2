import type { TranslationBundle } from '@jupyterlab/translation';
import {
  checkIcon,
  errorIcon,
  historyIcon,
  type LabIcon,
  offlineBoltIcon
} from '@jupyterlab/ui-components';

import type { IEndpoint, IListing } from '../tokens';
import { CopyButton } from './copy-button';
import { ListingView } from './listing-view';

export interface IEndpointsViewProps {
  endpoints: IListing<IEndpoint>;
  onPredict: (endpoint: IEndpoint) => void;
  onStop: (endpoint: IEndpoint) => void;
  onCopy: (text: string) => void;
  trans: TranslationBundle;
}

const STATE_ICONS: Record<IEndpoint['state'], LabIcon> = {
  starting: historyIcon,
  ready: checkIcon,
  unresponsive: offlineBoltIcon,
  dead: errorIcon
};

/** Every endpoint: its state, what answers there, and what can be done. */
export function EndpointsView(props: IEndpointsViewProps) {
  const { endpoints, trans } = props;
  return (
    <ListingView
      listing={endpoints}
      label={trans.__('Endpoints')}
      trans={trans}
      empty={
        <>
          <p>{trans.__('Nothing is deployed.')}</p>
          <p>
            {trans.__('Open a registered model above and deploy one of its versions.')}
          </p>
        </>
      }
    >
      {endpoint => <EndpointItem key={endpoint.name} endpoint={endpoint} {...props} />}
    </ListingView>
  );
}

function EndpointItem(props: { endpoint: IEndpoint } & IEndpointsViewProps) {
  const { endpoint, onPredict, onStop, onCopy, trans } = props;
  const { name, model, version, alias, url, state, message } = endpoint;
  const StateIcon = STATE_ICONS[state];
  return (
    <li className="nbmlops-Endpoint">
      <div className="nbmlops-Line">
        <span className="nbmlops-Row-name" title={name}>
          {name}
        </span>
        <span className="nbmlops-State" data-state={state}>
          <StateIcon.react tag="span" />
          {stateLabel(state, trans)}
        </span>
      </div>
      <div className="nbmlops-Fine">
        <span className="nbmlops-Path">
          {trans.__('%1 version %2', model, version)}
        </span>
        {alias && <span className="nbmlops-Chip">{alias}</span>}
      </div>
      {message && <p className="nbmlops-Endpoint-message">{message}</p>}
      <div className="nbmlops-Url">
        <code title={url}>{url}</code>
        <CopyButton url={url} onCopy={onCopy} trans={trans} />
      </div>
      <div className="nbmlops-Actions">
        <button
          type="button"
          className="jp-mod-styled nbmlops-Small"
          aria-label={trans.__('Predict with endpoint %1', name)}
          disabled={state !== 'ready'}
          onClick={() => onPredict(endpoint)}
        >
          {trans.__('Predict…')}
        </button>
        <button
          type="button"
          className="jp-mod-styled nbmlops-Small"
          aria-label={trans.__('Stop endpoint %1', name)}
          onClick={() => onStop(endpoint)}
        >
          {trans.__('Stop')}
        </button>
      </div>
    </li>
  );
}

function stateLabel(state: IEndpoint['state'], trans: TranslationBundle): string {
  switch (state) {
    case 'starting':
      return trans.__('Starting');
    case 'ready':
      return trans.__('Ready');
    case 'unresponsive':
      return trans.__('Not answering');
    case 'dead':
      return trans.__('Dead');
  }
}
