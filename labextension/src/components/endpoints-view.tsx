import type { IEndpoint, IListing } from '../tokens';
import { CopyButton, SmallButton } from './buttons';
import { EndpointState } from './endpoint-state';
import { ListingView } from './listing-view';
import { useTrans } from './trans';

export interface IEndpointsViewProps {
  endpoints: IListing<IEndpoint>;
  onOpen: (endpoint: IEndpoint) => void;
  onPredict: (endpoint: IEndpoint) => void;
  onStop: (endpoint: IEndpoint) => void;
}

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
  const { endpoint, onOpen, onPredict, onStop } = props;
  const { name, model, version, alias, url, state, message, canary_version } = endpoint;
  const trans = useTrans();
  return (
    <li className="nbmlops-Item">
      <div className="nbmlops-Line">
        <span className="nbmlops-Name nbmlops-Ellipsis" title={name}>
          {name}
        </span>
        <EndpointState state={state} className="nbmlops-mod-end" />
      </div>
      <div className="nbmlops-Line nbmlops-Fine">
        <span className="nbmlops-Ellipsis">
          {trans.__('%1 version %2', model, version)}
          {canary_version !== null &&
            ` · ${trans.__('canary version %1', canary_version)}`}
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
          aria-label={trans.__('Open endpoint %1', name)}
          onClick={() => onOpen(endpoint)}
        >
          {trans.__('Open')}
        </SmallButton>
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
