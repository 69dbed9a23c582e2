import { Time } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { IModelVersion } from '../tokens';
import { Metrics } from './metrics';
import { OrderBadge } from './order-badge';

export interface IVersionActions {
  onDeploy: (version: IModelVersion) => void;
  onSetAlias: (version: IModelVersion) => void;
}

/** One model version: where it comes from, how good it is, what can be done. */
export function VersionItem(
  props: { version: IModelVersion; trans: TranslationBundle } & IVersionActions
) {
  const { version, trans, onDeploy, onSetAlias } = props;
  const { model, aliases, source, created_at } = version;
  return (
    <li className="nbmlops-Version">
      <div className="nbmlops-Line">
        <span className="nbmlops-Version-number">
          {trans.__('Version %1', version.version)}
        </span>
        {aliases.map(alias => (
          <span key={alias} className="nbmlops-Chip">
            {alias}
          </span>
        ))}
        <OrderBadge note={version.order_note} trans={trans} />
      </div>
      <Metrics metrics={version.metrics} trans={trans} />
      <div className="nbmlops-Fine">
        {source && (
          <span className="nbmlops-Path" title={source}>
            {source}
          </span>
        )}
        <time dateTime={created_at} title={Time.format(new Date(created_at))}>
          {Time.formatHuman(new Date(created_at))}
        </time>
      </div>
      <div className="nbmlops-Actions">
        <button
          type="button"
          className="jp-mod-styled nbmlops-Small"
          aria-label={trans.__('Deploy %1 version %2', model, version.version)}
          onClick={() => onDeploy(version)}
        >
          {trans.__('Deploy')}
        </button>
        <button
          type="button"
          className="jp-mod-styled nbmlops-Small"
          aria-label={trans.__('Set alias of %1 version %2', model, version.version)}
          onClick={() => onSetAlias(version)}
        >
          {trans.__('Set alias…')}
        </button>
      </div>
    </li>
  );
}
