import type { TranslationBundle } from '@jupyterlab/translation';
import { VDomRenderer } from '@jupyterlab/ui-components';

import { Trans } from '../components/trans';
import {
  type IVersionViewProps,
  VersionView
} from '../components/version/version-view';
import { registryIcon } from '../icons';
import type { IVersionModel } from '../tokens';
import { followWhileVisible } from './visibility';

export type VersionActions = Pick<
  IVersionViewProps,
  'onOpenNotebook' | 'onOpenExecuted' | 'onOpenEndpoint' | 'onDeploy' | 'onSetAlias'
>;

/** A model version in the main area, read while it shows. */
export class VersionPanel extends VDomRenderer<IVersionModel> {
  constructor(
    model: IVersionModel,
    private readonly _actions: VersionActions,
    private readonly _trans: TranslationBundle
  ) {
    super(model);
    this.addClass('nbmlops-VersionPanel');
    this.title.label = _trans.__('%1 v%2', model.name, model.version);
    this.title.caption = _trans.__('%1 version %2', model.name, model.version);
    this.title.icon = registryIcon;
    this.title.closable = true;
    followWhileVisible(this, model);
    this.disposed.connect(() => model.dispose());
  }

  protected override render() {
    const { model, _trans: trans } = this;
    return (
      <Trans.Provider value={trans}>
        <VersionView
          name={model.name}
          version={model.version}
          detail={model.detail}
          isGone={model.isGone}
          problem={model.problem}
          code={model.code}
          isComparing={model.isComparing}
          codeProblem={model.codeProblem}
          toImageUrl={file => model.toImageUrl(file)}
          onRetry={() => void model.refresh()}
          onCompare={() => void model.compareCode()}
          {...this._actions}
        />
      </Trans.Provider>
    );
  }
}
