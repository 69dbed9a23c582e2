import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IStateDB } from '@jupyterlab/statedb';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { addCommands, CommandIDs } from '../commands';
import { IModelRegistry } from '../tokens';

export const commandsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbmlops:commands',
  description: 'Adds the commands, to the palette and the notebook toolbar too.',
  autoStart: true,
  requires: [IModelRegistry],
  optional: [INotebookTracker, ICommandPalette, IStateDB, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    registry: IModelRegistry,
    tracker: INotebookTracker | null,
    palette: ICommandPalette | null,
    state: IStateDB | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('nbmlops');
    addCommands({ app, registry, trans, tracker, state });
    const category = trans.__('MLOps');
    for (const command of [
      CommandIDs.registerAndDeploy,
      CommandIDs.openSidebar,
      CommandIDs.refresh
    ]) {
      palette?.addItem({ command, category });
    }
    tracker?.currentChanged.connect(() => {
      app.commands.notifyCommandChanged(CommandIDs.registerAndDeploy);
    }, registry);
  }
};
