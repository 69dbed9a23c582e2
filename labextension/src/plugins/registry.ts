import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { ModelRegistry } from '../registry';
import { IModelRegistry } from '../tokens';

export const registryPlugin: JupyterFrontEndPlugin<IModelRegistry> = {
  id: 'nbmlops:registry',
  description: 'Reads the registered models and endpoints of the project in view.',
  autoStart: true,
  optional: [INotebookTracker, ITranslator],
  provides: IModelRegistry,
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker | null,
    translator: ITranslator | null
  ): IModelRegistry => {
    const { serverSettings, contents } = app.serviceManager;
    const trans = (translator ?? nullTranslator).load('nbmlops');
    const registry = new ModelRegistry({ serverSettings, trans });
    tracker?.currentChanged.connect((_, panel) => {
      if (panel) {
        void registry.follow(contents.localPath(panel.context.path));
      }
    }, registry);
    return registry;
  }
};
