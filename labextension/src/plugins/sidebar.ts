import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { CommandIDs } from '../commands';
import { IModelRegistry } from '../tokens';
import { RegistryPanel } from '../widgets/side-panel';

export const sidebarPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbmlops:sidebar',
  description: 'Shows registered models and endpoints in the left sidebar.',
  autoStart: true,
  requires: [IModelRegistry],
  optional: [ILayoutRestorer, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    registry: IModelRegistry,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null
  ): void => {
    const { commands } = app;
    const panel = new RegistryPanel({
      registry,
      translator: translator ?? nullTranslator,
      onOpenVersion: ({ model, version }) =>
        void commands.execute(CommandIDs.openVersion, { model, version }),
      onDeploy: ({ model, version, aliases: [alias] }) =>
        void commands.execute(CommandIDs.deployVersion, { model, version, alias }),
      onSetAlias: ({ model, version }) =>
        void commands.execute(CommandIDs.setAlias, { model, version }),
      onOpenModel: ({ name }) =>
        void commands.execute(CommandIDs.openModel, { model: name }),
      onOpen: ({ name }) =>
        void commands.execute(CommandIDs.openEndpoint, { endpoint: name }),
      onPredict: ({ name }) =>
        void commands.execute(CommandIDs.predict, { endpoint: name }),
      onStop: ({ name }) =>
        void commands.execute(CommandIDs.stopEndpoint, { endpoint: name })
    });
    restorer?.add(panel, panel.id);
    app.shell.add(panel, 'left', { rank: 450 });
  }
};
