import {
  ABCWidgetFactory,
  type DocumentRegistry,
  DocumentWidget
} from '@jupyterlab/docregistry';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';

import type { IShownUnit } from '../components/pipeline-state';
import { PipelineView } from '../components/pipeline-view';
import { pipelineIcon } from '../icons';
import type { IPipelineModel, IPipelineStep } from '../tokens';
import { showRunDialog } from './run-dialog';

export interface IPipelineActions {
  /** Open the file as text. */
  onEdit: (path: string) => void;
  onOpenNotebook: (path: string, step: IPipelineStep) => void;
  onOpenExecuted: (path: string, unit: IShownUnit, model: IPipelineModel) => void;
}

export namespace PipelinePanel {
  export interface IOptions extends IPipelineActions {
    context: DocumentRegistry.Context;
    model: IPipelineModel;
    trans: TranslationBundle;
  }
}

/** The graph of a pipeline file, read while it shows and when the file is saved. */
export class PipelinePanel extends ReactWidget {
  constructor(private readonly _options: PipelinePanel.IOptions) {
    super();
    this.addClass('nbmlops-PipelinePanel');
    const { context } = _options;
    context.saveState.connect(this._onSaved);
    context.fileChanged.connect(this._refresh);
    document.addEventListener('visibilitychange', this._onVisibility);
  }

  override dispose(): void {
    if (!this.isDisposed) {
      const { context, model } = this._options;
      document.removeEventListener('visibilitychange', this._onVisibility);
      context.saveState.disconnect(this._onSaved);
      context.fileChanged.disconnect(this._refresh);
      model.dispose();
      super.dispose();
    }
  }

  protected override render() {
    const { context, model, trans } = this._options;
    const { onEdit, onOpenNotebook, onOpenExecuted } = this._options;
    return (
      <UseSignal signal={model.changed}>
        {() => (
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
            onOpenExecuted={unit => onOpenExecuted(context.path, unit, model)}
            onShowRun={run_id => void showRunDialog(run_id, model, trans)}
            trans={trans}
          />
        )}
      </UseSignal>
    );
  }

  protected override onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    this._onVisibility();
  }

  protected override onAfterShow(): void {
    this._onVisibility();
  }

  protected override onAfterHide(): void {
    this._onVisibility();
  }

  /** Save what a text editor beside this has changed, and run what is saved. */
  private async _start(choice: Parameters<IPipelineModel['start']>[0]): Promise<void> {
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

  /** Browsers allow few open streams: a view nobody sees gives its one back. */
  private readonly _onVisibility = (): void => {
    const { model } = this._options;
    if (this.isVisible && !document.hidden) {
      model.resume();
    } else {
      model.pause();
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
