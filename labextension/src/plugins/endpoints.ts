import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import {
  ICommandPalette,
  type MainAreaWidget,
  WidgetTracker
} from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { addEndpointCommand, CommandIDs } from '../commands';
import { IModelRegistry } from '../tokens';
import { EndpointPanel } from '../widgets/endpoint-panel';
import { openInMainArea } from '../widgets/main-area';

const NAMESPACE = 'nbmlops-endpoint';

export const endpointsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbmlops:endpoints',
  description: 'Opens endpoints in the main area.',
  autoStart: true,
  requires: [IModelRegistry],
  optional: [ICommandPalette, ILayoutRestorer, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    registry: IModelRegistry,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('nbmlops');
    const tracker = new WidgetTracker<MainAreaWidget<EndpointPanel>>({
      namespace: NAMESPACE
    });
    addEndpointCommand({
      app,
      registry,
      trans,
      onOpen: (name, path) => {
        const model = registry.createEndpoint(name, path);
        const found = tracker.find(
          ({ content }) =>
            content.model.name === name && content.model.path === model.path
        );
        if (found) {
          model.dispose();
          app.shell.activateById(found.id);
          return;
        }
        const content = new EndpointPanel(model, trans);
        openInMainArea(app.shell, tracker, content);
      }
    });
    if (restorer) {
      void restorer.restore(tracker, {
        command: CommandIDs.openEndpoint,
        args: ({ content: { model } }) => ({ endpoint: model.name, path: model.path }),
        name: ({ content: { model } }) => `${model.path}:${model.name}`
      });
    }
    palette?.addItem({
      command: CommandIDs.openEndpoint,
      category: trans.__('MLOps')
    });
  }
};
