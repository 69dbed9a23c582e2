import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { commandsPlugin } from './plugins/commands';
import { endpointsPlugin } from './plugins/endpoints';
import { executedPlugin } from './plugins/executed';
import { modelsPlugin } from './plugins/models';
import { pipelinesPlugin } from './plugins/pipelines';
import { registryPlugin } from './plugins/registry';
import { sidebarPlugin } from './plugins/sidebar';

export { IModelRegistry } from './tokens';

const plugins: JupyterFrontEndPlugin<unknown>[] = [
  registryPlugin,
  commandsPlugin,
  sidebarPlugin,
  modelsPlugin,
  endpointsPlugin,
  executedPlugin,
  pipelinesPlugin
];

export default plugins;
