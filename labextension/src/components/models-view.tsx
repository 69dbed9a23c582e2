import type { TranslationBundle } from '@jupyterlab/translation';
import { caretDownIcon, caretRightIcon } from '@jupyterlab/ui-components';
import { useEffect, useId, useState } from 'react';

import type { IListing, IModelVersion, IRegisteredModel } from '../tokens';
import { ListingView } from './listing-view';
import { type IVersionActions, VersionItem } from './version-item';

const TYPING_MS = 300;

export interface IModelsViewProps extends IVersionActions {
  models: IListing<IRegisteredModel>;
  versions: (model: string) => IListing<IModelVersion> | null;
  search: string;
  onSearch: (text: string) => void;
  onToggle: (model: string) => void;
  trans: TranslationBundle;
}

/** Registered models, each opening to its versions, and a box to search them. */
export function ModelsView(props: IModelsViewProps) {
  const { models, search, onSearch, trans } = props;
  return (
    <>
      {(models.isLoaded || search) && (
        <SearchBox search={search} onSearch={onSearch} trans={trans} />
      )}
      <ListingView
        listing={models}
        label={trans.__('Registered models')}
        trans={trans}
        empty={
          search ? (
            <>
              <p>{trans.__('No registered model has “%1” in its name.', search)}</p>
              <p>{trans.__('Clear the search to see them all.')}</p>
            </>
          ) : (
            <>
              <p>{trans.__('No registered models yet.')}</p>
              <p>
                {trans.__(
                  'Fit a model in a %1 cell, then press “Register and deploy” in the toolbar of the notebook.',
                  '%%track'
                )}
              </p>
            </>
          )
        }
      >
        {model => <ModelItem key={model.name} model={model} {...props} />}
      </ListingView>
    </>
  );
}

function SearchBox(props: {
  search: string;
  onSearch: (text: string) => void;
  trans: TranslationBundle;
}) {
  const { search, onSearch, trans } = props;
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
  const { model, trans, onToggle } = props;
  const versions = props.versions(model.name);
  const id = useId();
  const Caret = versions ? caretDownIcon : caretRightIcon;
  return (
    <li className="nbmlops-Model">
      <button
        type="button"
        className="nbmlops-Row"
        aria-expanded={versions !== null}
        aria-controls={versions ? id : undefined}
        title={model.description || model.name}
        onClick={() => onToggle(model.name)}
      >
        <Caret.react tag="span" className="nbmlops-Row-caret" />
        <span className="nbmlops-Row-name">{model.name}</span>
        {!versions &&
          Object.entries(model.aliases).map(([alias, version]) => (
            <span key={alias} className="nbmlops-Chip">
              {trans.__('%1 v%2', alias, version)}
            </span>
          ))}
        {model.latest_version !== null && (
          <span className="nbmlops-Row-hint">
            {trans.__('v%1', model.latest_version)}
          </span>
        )}
      </button>
      {versions && (
        <div id={id} className="nbmlops-Versions">
          <ListingView
            listing={versions}
            label={trans.__('Versions of %1', model.name)}
            empty={<p>{trans.__('No versions yet.')}</p>}
            trans={trans}
          >
            {version => (
              <VersionItem
                key={version.version}
                version={version}
                trans={trans}
                onDeploy={props.onDeploy}
                onSetAlias={props.onSetAlias}
              />
            )}
          </ListingView>
        </div>
      )}
    </li>
  );
}
