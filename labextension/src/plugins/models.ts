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
import { IStateDB } from '@jupyterlab/statedb';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { addModelCommand, CommandIDs } from '../commands';
import { IModelRegistry, type ITableLayout } from '../tokens';
import { openInMainArea } from '../widgets/main-area';
import { ModelPanel } from '../widgets/model-panel';

const LAYOUT = 'nbmlops:versions-layout';
const FIRST_LAYOUT: ITableLayout = {
  columns: {},
  sort: { id: 'version', isDescending: true }
};

export const modelsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbmlops:models',
  description: 'Opens registered models in the main area.',
  autoStart: true,
  requires: [IModelRegistry],
  optional: [ICommandPalette, ILayoutRestorer, IStateDB, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    registry: IModelRegistry,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    state: IStateDB | null,
    translator: ITranslator | null
  ): void => {
    const { commands, shell } = app;
    const trans = (translator ?? nullTranslator).load('nbmlops');
    const tracker = new WidgetTracker<MainAreaWidget<ModelPanel>>({
      namespace: 'nbmlops-model'
    });
    addModelCommand({
      app,
      registry,
      trans,
      onOpen: async (name, asked) => {
        const kept = (await state?.fetch(LAYOUT)) as Partial<ITableLayout> | undefined;
        const model = registry.createVersions(name, asked);
        const { path } = model;
        const found = tracker.find(
          ({ content }) => content.model.name === name && content.model.path === path
        );
        if (found) {
          model.dispose();
          shell.activateById(found.id);
          return;
        }
        const act = (command: string, args: { version: number; alias?: string }) =>
          void commands.execute(command, { model: name, path, ...args });
        const content = new ModelPanel(
          model,
          { ...FIRST_LAYOUT, ...kept },
          {
            onLayout: ({ columns, sort }) =>
              void state?.save(LAYOUT, { columns, sort }),
            onOpen: ({ version }) => act(CommandIDs.openVersion, { version }),
            onDeploy: ({ version, aliases: [alias] }) =>
              act(CommandIDs.deployVersion, { version, alias }),
            onSetAlias: ({ version }) => act(CommandIDs.setAlias, { version })
          },
          trans
        );
        openInMainArea(shell, tracker, content);
      }
    });
    if (restorer) {
      void restorer.restore(tracker, {
        command: CommandIDs.openModel,
        args: ({ content: { model } }) => ({ model: model.name, path: model.path }),
        name: ({ content: { model } }) => `${model.path}:${model.name}`
      });
    }
    palette?.addItem({ command: CommandIDs.openModel, category: trans.__('MLOps') });
  }
};
