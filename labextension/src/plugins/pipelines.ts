import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, WidgetTracker } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { addStepCommand, CommandIDs } from '../commands';
import { openExecuted } from '../executed';
import { pipelineIcon } from '../icons';
import { PipelineModel } from '../pipeline';
import { StepModel } from '../step';
import { type PipelineDocument, PipelineFactory } from '../widgets/pipeline-document';

const FILE_TYPE = 'nbmlops-pipeline';
const FACTORY = 'Pipeline';

export const pipelinesPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbmlops:pipelines',
  description: 'Opens pipeline files as graphs, and runs notebooks as tracked steps.',
  autoStart: true,
  requires: [IDocumentManager],
  optional: [
    INotebookTracker,
    IFileBrowserFactory,
    ICommandPalette,
    ILayoutRestorer,
    ITranslator
  ],
  activate: (
    app: JupyterFrontEnd,
    documents: IDocumentManager,
    notebooks: INotebookTracker | null,
    browsers: IFileBrowserFactory | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('nbmlops');
    const { commands, docRegistry, serviceManager } = app;
    const { contents, serverSettings } = serviceManager;
    docRegistry.addFileType({
      name: FILE_TYPE,
      displayName: trans.__('Pipeline of notebooks'),
      pattern: '^(.*\\.)?pipeline\\.ya?ml$',
      extensions: [],
      mimeTypes: ['text/x-yaml'],
      fileFormat: 'text',
      contentType: 'file',
      icon: pipelineIcon
    });
    const factory = new PipelineFactory(
      {
        name: FACTORY,
        label: trans.__('Pipeline'),
        fileTypes: [FILE_TYPE],
        defaultFor: [FILE_TYPE]
      },
      {
        createModel: path =>
          new PipelineModel({ serverSettings, path: contents.localPath(path), trans }),
        onEdit: path => void documents.openOrReveal(path, 'Editor'),
        onOpenNotebook: (path, { notebook }) =>
          void documents.openOrReveal(
            PathExt.join(PathExt.dirname(path), notebook ?? '')
          ),
        onOpenExecuted: (path, run, model) =>
          openExecuted(documents, model, {
            path: contents.localPath(path),
            step: run.name,
            run_id: run.run_id,
            live_id: run.isLive ? (model.run?.id ?? null) : null
          }),
        trans
      }
    );
    docRegistry.addWidgetFactory(factory);
    const tracker = new WidgetTracker<PipelineDocument>({ namespace: FILE_TYPE });
    factory.widgetCreated.connect((_, widget) => {
      widget.context.pathChanged.connect(() => void tracker.save(widget));
      void tracker.add(widget);
    });
    if (restorer) {
      void restorer.restore(tracker, {
        command: 'docmanager:open',
        args: ({ context }) => ({ path: context.path, factory: FACTORY }),
        name: ({ context }) => context.path
      });
    }
    addStepCommand({
      app,
      trans,
      notebooks,
      browsers,
      createModel: path => new StepModel({ serverSettings, path, trans }),
      onOpenExecuted: (path, run, model) =>
        openExecuted(documents, model, {
          path,
          step: run.steps[0]?.step ?? '',
          run_id: run.run_id,
          live_id: run.id
        })
    });
    palette?.addItem({ command: CommandIDs.runAsStep, category: trans.__('MLOps') });
    notebooks?.currentChanged.connect(() => {
      commands.notifyCommandChanged(CommandIDs.runAsStep);
    }, tracker);
  }
};
