import { Time } from '@jupyterlab/coreutils';
import { caretDownIcon, caretRightIcon, launchIcon } from '@jupyterlab/ui-components';
import { useEffect, useId, useState } from 'react';

import type { IEndpoint, IListing, IModelVersion, IRegisteredModel } from '../tokens';
import { IconButton, LinkButton, SmallButton } from './buttons';
import { EndpointState } from './endpoint-state';
import { ListingState, ListingView } from './listing-view';
import { Metrics } from './metrics';
import { OrderBadge } from './run-details';
import { useTrans } from './trans';
import { VirtualList } from './virtual-list';

const TYPING_MS = 300;
const ROW_PX = 28;

interface IVersionActions {
  onOpenVersion: (version: IModelVersion) => void;
  onDeploy: (version: IModelVersion) => void;
  onSetAlias: (version: IModelVersion) => void;
}

export interface IModelsViewProps extends IVersionActions {
  models: IListing<IRegisteredModel>;
  endpoints: readonly IEndpoint[];
  versions: (model: string) => IListing<IModelVersion> | null;
  search: string;
  onSearch: (text: string) => void;
  onToggle: (model: string) => void;
  onOpenModel: (model: IRegisteredModel) => void;
}

/** Registered models, each opening to its versions, and a box to search them. */
export function ModelsView(props: IModelsViewProps) {
  const { models, search, onSearch } = props;
  const trans = useTrans();
  return (
    <>
      {(models.isLoaded || search) && <SearchBox search={search} onSearch={onSearch} />}
      <ListingState
        className="nbmlops-Fill"
        listing={models}
        empty={
          search
            ? [
                trans.__('No registered model has “%1” in its name.', search),
                trans.__('Clear the search to see them all.')
              ]
            : [
                trans.__('No registered models yet.'),
                trans.__(
                  'Fit a model in a %1 cell, then press “Register and deploy” in the toolbar of the notebook.',
                  '%%track'
                )
              ]
        }
      >
        <VirtualList
          items={models.items}
          label={trans.__('Registered models')}
          toKey={({ name }) => name}
          height_px={ROW_PX}
          onEnd={() => models.hasMore && !models.isLoading && void models.loadMore()}
        >
          {model => <ModelItem model={model} {...props} />}
        </VirtualList>
      </ListingState>
    </>
  );
}

function SearchBox(props: { search: string; onSearch: (text: string) => void }) {
  const { search, onSearch } = props;
  const trans = useTrans();
  const [text, setText] = useState(search);
  useEffect(() => setText(search), [search]);
  useEffect(() => {
    const timer = setTimeout(() => text !== search && onSearch(text), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <input
      type="search"
      className="jp-mod-styled nbmlops-Search"
      aria-label={trans.__('Search registered models')}
      placeholder={trans.__('Search models')}
      value={text}
      onChange={event => setText(event.target.value)}
    />
  );
}

function ModelItem(props: { model: IRegisteredModel } & IModelsViewProps) {
  const { model, endpoints, onToggle, onOpenModel } = props;
  const { onOpenVersion, onDeploy, onSetAlias } = props;
  const trans = useTrans();
  const versions = props.versions(model.name);
  const id = useId();
  const served = endpoints.filter(endpoint => endpoint.model === model.name);
  const Caret = versions ? caretDownIcon : caretRightIcon;
  return (
    <>
      <div className="nbmlops-ModelRow">
        <button
          type="button"
          className="nbmlops-Row"
          aria-expanded={versions !== null}
          aria-controls={versions ? id : undefined}
          title={model.description || model.name}
          onClick={() => onToggle(model.name)}
        >
          <Caret.react tag="span" className="nbmlops-Icon" />
          <span className="nbmlops-Grow">
            <span className="nbmlops-Line">
              <span className="nbmlops-Name nbmlops-Ellipsis">{model.name}</span>
              {served.map(({ name, state }) => (
                <span key={name} title={trans.__('Endpoint %1', name)}>
                  <EndpointState state={state} />
                </span>
              ))}
              {model.latest_version !== null && (
                <span className="nbmlops-Fine nbmlops-mod-end">
                  {trans.__('v%1', model.latest_version)}
                </span>
              )}
            </span>
            <span className="nbmlops-Line">
              {!versions &&
                Object.entries(model.aliases).map(([alias, version]) => (
                  <span key={alias} className="nbmlops-Chip nbmlops-Ellipsis">
                    {trans.__('%1 v%2', alias, version)}
                  </span>
                ))}
              <ModelTags tags={model.tags} />
            </span>
          </span>
        </button>
        <IconButton
          icon={launchIcon}
          label={trans.__('Open model %1', model.name)}
          onClick={() => onOpenModel(model)}
        />
      </div>
      {versions && (
        <div id={id} className="nbmlops-Versions">
          <ListingView
            listing={versions}
            label={trans.__('Versions of %1', model.name)}
            empty={[trans.__('No versions yet.')]}
          >
            {version => (
              <VersionItem
                key={version.version}
                version={version}
                onOpenVersion={onOpenVersion}
                onDeploy={onDeploy}
                onSetAlias={onSetAlias}
              />
            )}
          </ListingView>
        </div>
      )}
    </>
  );
}

/** The tags of a model that are not MLflow's own notes. */
export function ModelTags({ tags }: { tags: IRegisteredModel['tags'] }) {
  return Object.entries(tags)
    .filter(([key]) => !/^(mlflow|nbmlops)\./.test(key))
    .map(([key, text]) => (
      <span
        key={key}
        className="nbmlops-Chip nbmlops-mod-tag nbmlops-Ellipsis"
        title={`${key}: ${text}`}
      >
        {text ? `${key}: ${text}` : key}
      </span>
    ));
}

/** One model version: where it comes from, how good it is, what can be done. */
function VersionItem(props: { version: IModelVersion } & IVersionActions) {
  const { version, onOpenVersion, onDeploy, onSetAlias } = props;
  const { model, aliases, source, created_at } = version;
  const trans = useTrans();
  return (
    <li className="nbmlops-Item">
      <div className="nbmlops-Line">
        <LinkButton
          aria-label={trans.__('Open %1 version %2', model, version.version)}
          onClick={() => onOpenVersion(version)}
        >
          {trans.__('Version %1', version.version)}
        </LinkButton>
        {aliases.map(alias => (
          <span key={alias} className="nbmlops-Chip nbmlops-Ellipsis">
            {alias}
          </span>
        ))}
        <OrderBadge note={version.order_note} />
      </div>
      <Metrics metrics={version.metrics} />
      <div className="nbmlops-Line nbmlops-Fine">
        {source && (
          <span className="nbmlops-Ellipsis" title={source}>
            {source}
          </span>
        )}
        <time dateTime={created_at} title={Time.format(new Date(created_at))}>
          {Time.formatHuman(new Date(created_at))}
        </time>
      </div>
      <div className="nbmlops-Line">
        <SmallButton
          aria-label={trans.__('Deploy %1 version %2', model, version.version)}
          onClick={() => onDeploy(version)}
        >
          {trans.__('Deploy')}
        </SmallButton>
        <SmallButton
          aria-label={trans.__('Set alias of %1 version %2', model, version.version)}
          onClick={() => onSetAlias(version)}
        >
          {trans.__('Set alias…')}
        </SmallButton>
      </div>
    </li>
  );
}
