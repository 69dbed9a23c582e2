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
import { IDocumentManager } from '@jupyterlab/docmanager';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { addVersionCommand, CommandIDs } from '../commands';
import { READER, toDrivePath } from '../executed';
import { IModelRegistry, type IVersionModel } from '../tokens';
import { openInMainArea } from '../widgets/main-area';
import { type VersionActions, VersionPanel } from '../widgets/version-panel';

export const versionsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbmlops:versions',
  description: 'Opens model versions in the main area.',
  autoStart: true,
  requires: [IModelRegistry, IDocumentManager],
  optional: [ICommandPalette, ILayoutRestorer, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    registry: IModelRegistry,
    documents: IDocumentManager,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null
  ): void => {
    const { commands, shell } = app;
    const trans = (translator ?? nullTranslator).load('nbmlops');
    const tracker = new WidgetTracker<MainAreaWidget<VersionPanel>>({
      namespace: 'nbmlops-version'
    });
    const toActions = (model: IVersionModel): VersionActions => {
      const { name, version, path } = model;
      const act = (command: string, alias?: string) =>
        void commands.execute(command, { model: name, version, path, alias });
      return {
        onOpenNotebook: notebook => void documents.openOrReveal(notebook),
        onOpenExecuted: () =>
          void documents.openOrReveal(
            toDrivePath({
              path: model.detail?.notebook ?? (path || `${name}.ipynb`),
              step: trans.__('%1 version %2', name, version),
              run_id: model.detail?.version.run_id ?? null,
              live_id: null
            }),
            READER
          ),
        onOpenEndpoint: endpoint =>
          void commands.execute(CommandIDs.openEndpoint, { endpoint, path }),
        onDeploy: () =>
          act(CommandIDs.deployVersion, model.detail?.version.aliases.at(0)),
        onSetAlias: () => act(CommandIDs.setAlias)
      };
    };
    addVersionCommand({
      app,
      registry,
      trans,
      onOpen: (name, version, asked) => {
        const model = registry.createVersion(name, version, asked);
        const { path } = model;
        const found = tracker.find(
          ({ content: { model: other } }) =>
            other.name === name && other.version === version && other.path === path
        );
        if (found) {
          model.dispose();
          shell.activateById(found.id);
          return;
        }
        const content = new VersionPanel(model, toActions(model), trans);
        openInMainArea(shell, tracker, content);
      }
    });
    if (restorer) {
      void restorer.restore(tracker, {
        command: CommandIDs.openVersion,
        args: ({ content: { model } }) => ({
          model: model.name,
          version: model.version,
          path: model.path
        }),
        name: ({ content: { model } }) => `${model.path}:${model.name}/${model.version}`
      });
    }
    palette?.addItem({ command: CommandIDs.openVersion, category: trans.__('MLOps') });
  }
};
