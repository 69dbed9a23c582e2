import type { TranslationBundle } from '@jupyterlab/translation';
import { VDomRenderer } from '@jupyterlab/ui-components';

import { type IModelViewProps, ModelView } from '../components/model/model-view';
import { Trans } from '../components/trans';
import { registryIcon } from '../icons';
import type { ITableLayout, IVersionsModel } from '../tokens';
import { followWhileVisible } from './visibility';

type Actions = Pick<IModelViewProps, 'onLayout' | 'onOpen' | 'onDeploy' | 'onSetAlias'>;

/** A registered model in the main area, read while it shows. */
export class ModelPanel extends VDomRenderer<IVersionsModel> {
  constructor(
    model: IVersionsModel,
    private _tableLayout: ITableLayout,
    private readonly _actions: Actions,
    private readonly _trans: TranslationBundle
  ) {
    super(model);
    this.addClass('nbmlops-ModelPanel');
    this.title.label = model.name;
    this.title.caption = _trans.__('Model %1', model.name);
    this.title.icon = registryIcon;
    this.title.closable = true;
    followWhileVisible(this, model);
    this.disposed.connect(() => model.dispose());
  }

  protected override render() {
    const { model } = this;
    return (
      <Trans.Provider value={this._trans}>
        <ModelView
          name={model.name}
          model={model.model}
          versions={model.versions}
          endpoints={model.endpoints}
          selected={model.selected}
          comparison={model.comparison}
          problem={model.problem}
          onSelect={(version, isSelected) => model.select(version, isSelected)}
          onCompare={() => void model.compare()}
          onEndComparison={() => model.endComparison()}
          {...this._actions}
          layout={this._tableLayout}
          onLayout={layout => {
            this._tableLayout = layout;
            this.update();
            this._actions.onLayout(layout);
          }}
        />
      </Trans.Provider>
    );
  }
}
