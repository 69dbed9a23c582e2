import type { JupyterFrontEnd } from '@jupyterlab/application';
import { InputDialog, showErrorMessage } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import type { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { IStateDB } from '@jupyterlab/statedb';
import type { TranslationBundle } from '@jupyterlab/translation';
import { refreshIcon } from '@jupyterlab/ui-components';
import type { ReadonlyJSONObject, ReadonlyPartialJSONObject } from '@lumino/coreutils';

import type { IDeployChoice } from './components/deploy-form';
import { deployIcon, pipelineIcon, registryIcon } from './icons';
import type { ILiveRun, IModelRegistry, IStepModel } from './tokens';
import { showDeployDialog } from './widgets/deploy-dialog';
import { showPredictDialog } from './widgets/predict-dialog';
import { showStepDialog } from './widgets/step-dialog';
import { confirmStop } from './widgets/stop-dialog';

export namespace CommandIDs {
  export const registerAndDeploy = 'nbmlops:register-and-deploy';
  export const deployVersion = 'nbmlops:deploy-version';
  export const setAlias = 'nbmlops:set-alias';
  export const openModel = 'nbmlops:open-model';
  export const openEndpoint = 'nbmlops:open-endpoint';
  export const openVersion = 'nbmlops:open-version';
  export const predict = 'nbmlops:predict';
  export const stopEndpoint = 'nbmlops:stop-endpoint';
  export const openSidebar = 'nbmlops:open-sidebar';
  export const refresh = 'nbmlops:refresh';
  export const runAsStep = 'nbmlops:run-as-step';
}

export const DEFAULT_ALIAS = 'champion';

export interface ICommandOptions {
  app: JupyterFrontEnd;
  registry: IModelRegistry;
  trans: TranslationBundle;
  tracker: INotebookTracker | null;
  state: IStateDB | null;
}

type Properties = Record<string, { type: string; description: string }>;

const PROJECT: Properties = {
  path: {
    type: 'string',
    description: 'A folder or notebook of its project; that in view by default'
  }
};

const MODEL: Properties = {
  model: { type: 'string', description: 'Name of the registered model' },
  ...PROJECT
};

const VERSION: Properties = {
  ...MODEL,
  version: { type: 'integer', description: 'Number of the version' }
};

const ENDPOINT: Properties = {
  endpoint: { type: 'string', description: 'Name of the endpoint' }
};

const NOTEBOOK: Properties = {
  path: {
    type: 'string',
    description: 'Path of the notebook; the current one by default'
  }
};

/** Add every command of the extension. */
export function addCommands(options: ICommandOptions): void {
  const { app, registry, trans, tracker, state } = options;
  const { commands } = app;
  const current = () => tracker?.currentWidget?.context.path;
  const kernelOf = (path: string) =>
    tracker?.find(({ context }) => context.path === path)?.sessionContext.session
      ?.kernel?.id;
  const failed = (title: string) => (error: unknown) => {
    const { problem, fix } = registry.explain(error);
    return showErrorMessage(title, `${problem} ${fix}`.trim());
  };

  commands.addCommand(CommandIDs.registerAndDeploy, {
    label: trans.__('Register and deploy'),
    caption: trans.__('Register the model of a run and deploy it'),
    icon: deployIcon,
    describedBy: describe(NOTEBOOK),
    isEnabled: args => typeof args.path === 'string' || current() !== undefined,
    execute: async args => {
      const path = (args.path as string | undefined) ?? current();
      if (path === undefined) {
        return;
      }
      const notebook = app.serviceManager.contents.localPath(path);
      const key = `nbmlops:choice:${notebook}`;
      const last = (await state?.fetch(key)) as Partial<IDeployChoice> | undefined;
      await showDeployDialog({
        registry,
        notebook,
        kernel: kernelOf(path),
        choice: { model: toName(notebook), alias: DEFAULT_ALIAS, ...last },
        onChosen: choice => void state?.save(key, { ...choice }),
        trans
      });
    }
  });

  commands.addCommand(CommandIDs.deployVersion, {
    label: trans.__('Deploy version'),
    icon: deployIcon,
    describedBy: describe({
      ...VERSION,
      alias: { type: 'string', description: 'Alias to offer; champion by default' }
    }),
    execute: async args => {
      const { model, version, path, alias = DEFAULT_ALIAS } = args as VersionArgs;
      const choice = { model, alias };
      await showDeployDialog({ registry, version, path, choice, trans });
    }
  });

  commands.addCommand(CommandIDs.setAlias, {
    label: trans.__('Set alias…'),
    describedBy: describe(VERSION),
    execute: async args => {
      const { model, version, path } = args as VersionArgs;
      const title = trans.__('Set alias of %1 version %2', model, version);
      const { value } = await InputDialog.getText({
        title,
        label: trans.__('Alias, moved here from the version that has it:'),
        text: DEFAULT_ALIAS,
        okLabel: trans.__('Set alias'),
        required: true
      });
      if (value) {
        await registry
          .setAlias(model, value.trim(), version, path)
          .catch(failed(title));
      }
    }
  });

  commands.addCommand(CommandIDs.predict, {
    label: trans.__('Predict…'),
    describedBy: describe(ENDPOINT),
    execute: async args => {
      const { endpoint } = args as { endpoint: string };
      await registry
        .getEndpoint(endpoint)
        .then(detail => showPredictDialog(detail, registry, trans))
        .catch(failed(trans.__('Predict with %1', endpoint)));
    }
  });

  commands.addCommand(CommandIDs.stopEndpoint, {
    label: trans.__('Stop endpoint…'),
    describedBy: describe(ENDPOINT),
    execute: async args => {
      const { endpoint } = args as { endpoint: string };
      const title = trans.__('Stop endpoint %1?', endpoint);
      if (await confirmStop(endpoint, trans)) {
        await registry.stop(endpoint).catch(failed(title));
      }
    }
  });

  commands.addCommand(CommandIDs.openSidebar, {
    label: trans.__('Show models and endpoints'),
    icon: registryIcon,
    describedBy: describe({}),
    execute: () => app.shell.activateById('nbmlops-panel')
  });

  commands.addCommand(CommandIDs.refresh, {
    label: trans.__('Refresh models and endpoints'),
    icon: refreshIcon,
    describedBy: describe({}),
    execute: () => registry.refresh()
  });
}

export interface IModelCommandOptions {
  app: JupyterFrontEnd;
  registry: IModelRegistry;
  trans: TranslationBundle;
  /** Show the tab of a model; of the project in view without a path. */
  onOpen: (model: string, path?: string) => Promise<void>;
}

/** Add the command that opens the view of a registered model. */
export function addModelCommand(options: IModelCommandOptions): void {
  const { app, registry, trans, onOpen } = options;
  const ask = async (): Promise<string | null> => {
    await registry.models.reload();
    const items = registry.models.items.map(({ name }) => name);
    const title = trans.__('Open model');
    const label = trans.__('Registered model');
    return (await InputDialog.getItem({ title, label, items, editable: true })).value;
  };
  app.commands.addCommand(CommandIDs.openModel, {
    label: trans.__('Open model…'),
    caption: trans.__('Show every version of a registered model'),
    icon: registryIcon,
    describedBy: describe(MODEL),
    execute: async args => {
      const { model, path } = args as { model?: string; path?: string };
      const name = model ?? (await ask());
      if (name) {
        await onOpen(name, path);
      }
    }
  });
}

export interface IEndpointCommandOptions {
  app: JupyterFrontEnd;
  registry: IModelRegistry;
  trans: TranslationBundle;
  /** Show the tab of an endpoint; of the project in view without a path. */
  onOpen: (endpoint: string, path?: string) => void;
}

/** Add the command that opens the view of an endpoint. */
export function addEndpointCommand(options: IEndpointCommandOptions): void {
  const { app, registry, trans, onOpen } = options;
  const ask = async (): Promise<string | null> => {
    const title = trans.__('Open endpoint');
    const { endpoints } = registry;
    await endpoints.reload();
    const names = endpoints.items.map(({ name }) => name);
    const [only] = names;
    if (only === undefined) {
      const { problem, fix } = endpoints.problem ?? {
        problem: trans.__('Nothing is deployed.'),
        fix: trans.__('Deploy a version of a registered model in the sidebar.')
      };
      await showErrorMessage(title, `${problem} ${fix}`.trim());
      return null;
    }
    if (names.length === 1) {
      return only;
    }
    const label = trans.__('Endpoint');
    return (await InputDialog.getItem({ title, label, items: names })).value;
  };
  app.commands.addCommand(CommandIDs.openEndpoint, {
    label: trans.__('Open endpoint…'),
    caption: trans.__('Show what an endpoint serves, and how it does'),
    icon: deployIcon,
    describedBy: describe({ ...ENDPOINT, ...PROJECT }),
    execute: async args => {
      const { endpoint, path } = args as { endpoint?: string; path?: string };
      const name = endpoint ?? (await ask());
      if (name !== null) {
        onOpen(name, path);
      }
    }
  });
}

export interface IVersionCommandOptions {
  app: JupyterFrontEnd;
  registry: IModelRegistry;
  trans: TranslationBundle;
  /** Show the tab of a version; of the project in view without a path. */
  onOpen: (model: string, version: number, path?: string) => void;
}

/** Add the command that opens the view of a model version. */
export function addVersionCommand(options: IVersionCommandOptions): void {
  const { app, registry, trans, onOpen } = options;
  const title = trans.__('Open model version');
  const askModel = async (): Promise<string | null> => {
    const { models } = registry;
    await models.reload();
    const names = models.items.map(({ name }) => name);
    if (names.length === 0) {
      const { problem, fix } = models.problem ?? {
        problem: trans.__('No registered models yet.'),
        fix: trans.__('Press “Register and deploy” in the toolbar of a notebook.')
      };
      await showErrorMessage(title, `${problem} ${fix}`.trim());
      return null;
    }
    const label = trans.__('Registered model');
    return (await InputDialog.getItem({ title, label, items: names, editable: true }))
      .value;
  };
  const askVersion = async (model: string): Promise<number | null> => {
    const found = registry.models.items.find(({ name }) => name === model);
    const label = trans.__('Version of %1', model);
    const value = found?.latest_version ?? 1;
    return (await InputDialog.getNumber({ title, label, value })).value;
  };
  app.commands.addCommand(CommandIDs.openVersion, {
    label: trans.__('Open model version…'),
    caption: trans.__('Show what a model version is made from, takes and achieves'),
    icon: registryIcon,
    describedBy: describe(VERSION),
    execute: async args => {
      const { model, version, path } = args as Partial<VersionArgs>;
      const name = model ?? (await askModel());
      const number = name ? (version ?? (await askVersion(name))) : null;
      if (name && number !== null) {
        onOpen(name, number, path);
      }
    }
  });
}

export interface IStepCommandOptions {
  app: JupyterFrontEnd;
  trans: TranslationBundle;
  notebooks: INotebookTracker | null;
  browsers: IFileBrowserFactory | null;
  createModel: (path: string) => IStepModel;
  onOpenExecuted: (path: string, run: ILiveRun, model: IStepModel) => void;
}

/** Add the command that runs a notebook as a tracked step. */
export function addStepCommand(options: IStepCommandOptions): void {
  const { app, trans, notebooks, browsers, createModel, onOpenExecuted } = options;
  const find = (args: ReadonlyPartialJSONObject): string | undefined => {
    if (typeof args.path === 'string') {
      return args.path;
    }
    if (args.isSelected === true) {
      const [item] = browsers?.tracker.currentWidget?.selectedItems() ?? [];
      return item?.type === 'notebook' ? item.path : undefined;
    }
    return notebooks?.currentWidget?.context.path;
  };
  app.commands.addCommand(CommandIDs.runAsStep, {
    label: trans.__('Run as tracked step…'),
    caption: trans.__('Run this notebook with parameters, recorded as one run'),
    icon: pipelineIcon,
    describedBy: describe({
      ...NOTEBOOK,
      isSelected: {
        type: 'boolean',
        description: 'Whether to run the notebook selected in the file browser'
      }
    }),
    isEnabled: args => find(args) !== undefined,
    execute: async args => {
      const path = find(args);
      if (path === undefined) {
        return;
      }
      const open = notebooks?.find(({ context }) => context.path === path);
      if (open?.context.model.dirty) {
        await open.context.save();
      }
      const notebook = app.serviceManager.contents.localPath(path);
      const model = createModel(notebook);
      await showStepDialog({
        notebook,
        model,
        onOpenExecuted: run => onOpenExecuted(notebook, run, model),
        trans
      });
    }
  });
}

/** Return a name for a registered model out of a notebook's file name. */
export function toName(notebook: string): string {
  const stem = PathExt.basename(notebook, PathExt.extname(notebook));
  return (
    stem
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-+|-+$/g, '') || 'model'
  );
}

type VersionArgs = { model: string; version: number; alias?: string; path?: string };

function describe(properties: Properties): { args: ReadonlyJSONObject } {
  return { args: { type: 'object', properties } };
}
