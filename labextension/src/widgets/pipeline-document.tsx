import {
  ABCWidgetFactory,
  type DocumentRegistry,
  DocumentWidget
} from '@jupyterlab/docregistry';
import type { TranslationBundle } from '@jupyterlab/translation';
import { VDomRenderer } from '@jupyterlab/ui-components';

import type { IShownRun } from '../components/pipeline/pipeline-state';
import { PipelineView } from '../components/pipeline/pipeline-view';
import { Trans } from '../components/trans';
import { pipelineIcon } from '../icons';
import type { IPipelineModel, IPipelineStep, IRunChoice } from '../tokens';
import { showRunDialog } from './run-dialog';
import { followWhileVisible } from './visibility';

export interface IPipelineActions {
  /** Open the file as text. */
  onEdit: (path: string) => void;
  onOpenNotebook: (path: string, step: IPipelineStep) => void;
  onOpenExecuted: (path: string, run: IShownRun, model: IPipelineModel) => void;
}

export namespace PipelinePanel {
  export interface IOptions extends IPipelineActions {
    context: DocumentRegistry.Context;
    model: IPipelineModel;
    trans: TranslationBundle;
  }
}

/** The graph of a pipeline file, read while it shows and when the file is saved. */
export class PipelinePanel extends VDomRenderer<IPipelineModel> {
  constructor(private readonly _options: PipelinePanel.IOptions) {
    super(_options.model);
    this.addClass('nbmlops-PipelinePanel');
    const { context, model } = _options;
    context.saveState.connect(this._onSaved, this);
    context.fileChanged.connect(this._refresh, this);
    followWhileVisible(this, model);
    this.disposed.connect(() => model.dispose());
  }

  protected override render() {
    const { context, model, trans } = this._options;
    const { onEdit, onOpenNotebook, onOpenExecuted } = this._options;
    return (
      <Trans.Provider value={trans}>
        <PipelineView
          view={model.view}
          run={model.run}
          problem={model.problem}
          isStarting={model.isStarting}
          onRun={choice => void this._start(choice)}
          onStop={() => void model.stop()}
          onRefresh={() => void model.refresh()}
          onEdit={() => onEdit(context.path)}
          onOpenNotebook={step => onOpenNotebook(context.path, step)}
          onOpenExecuted={run => onOpenExecuted(context.path, run, model)}
          onShowRun={run_id => void showRunDialog(run_id, model, trans)}
        />
      </Trans.Provider>
    );
  }

  /** Save what another editor of the file has changed, then run. */
  private async _start(choice: IRunChoice): Promise<void> {
    const { context, model } = this._options;
    if (context.model.dirty) {
      await context.save();
    }
    await model.start(choice);
  }

  private readonly _onSaved = (_: unknown, state: DocumentRegistry.SaveState): void => {
    if (state === 'completed') {
      this._refresh();
    }
  };

  private readonly _refresh = (): void => {
    if (this.isVisible) {
      void this._options.model.refresh();
    }
  };
}

export type PipelineDocument = DocumentWidget<PipelinePanel>;

export namespace PipelineFactory {
  export interface IOptions extends IPipelineActions {
    createModel: (path: string) => IPipelineModel;
    trans: TranslationBundle;
  }
}

/** Opens pipeline files as graphs. */
export class PipelineFactory extends ABCWidgetFactory<PipelineDocument> {
  constructor(
    options: DocumentRegistry.IWidgetFactoryOptions<PipelineDocument>,
    private readonly _own: PipelineFactory.IOptions
  ) {
    super(options);
  }

  protected override createNewWidget(
    context: DocumentRegistry.Context
  ): PipelineDocument {
    const model = this._own.createModel(context.path);
    const content = new PipelinePanel({ ...this._own, context, model });
    const widget = new DocumentWidget({ content, context });
    widget.title.icon = pipelineIcon;
    widget.toolbar.hide();
    return widget;
  }
}
