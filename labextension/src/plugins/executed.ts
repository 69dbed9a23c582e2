import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IEditorServices } from '@jupyterlab/codeeditor';
import { NotebookPanel, NotebookWidgetFactory } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { notebookIcon } from '@jupyterlab/ui-components';

import { READER, RunDrive } from '../executed';

export const executedPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbmlops:executed',
  description: 'Opens executed notebooks, to be read and not to be run.',
  autoStart: true,
  requires: [NotebookPanel.IContentFactory, IEditorServices, IRenderMimeRegistry],
  optional: [ITranslator],
  activate: (
    app: JupyterFrontEnd,
    contentFactory: NotebookPanel.IContentFactory,
    editors: IEditorServices,
    rendermime: IRenderMimeRegistry,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('nbmlops');
    const { contents, serverSettings } = app.serviceManager;
    contents.addDrive(new RunDrive(serverSettings));
    const factory = new NotebookWidgetFactory({
      name: READER,
      label: trans.__('Notebook (read only)'),
      fileTypes: ['notebook'],
      modelName: 'notebook',
      readOnly: true,
      preferKernel: false,
      canStartKernel: false,
      rendermime,
      contentFactory,
      mimeTypeService: editors.mimeTypeService,
      toolbarFactory: () => []
    });
    factory.widgetCreated.connect((_, { title }) => {
      title.icon = notebookIcon;
    });
    app.docRegistry.addWidgetFactory(factory);
  }
};
