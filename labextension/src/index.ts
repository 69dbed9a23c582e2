import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { commandsPlugin } from './plugins/commands';
import { endpointsPlugin } from './plugins/endpoints';
import { executedPlugin } from './plugins/executed';
import { modelsPlugin } from './plugins/models';
import { pipelinesPlugin } from './plugins/pipelines';
import { registryPlugin } from './plugins/registry';
import { sidebarPlugin } from './plugins/sidebar';
import { versionsPlugin } from './plugins/versions';

export { IModelRegistry } from './tokens';

const plugins: JupyterFrontEndPlugin<unknown>[] = [
  registryPlugin,
  commandsPlugin,
  sidebarPlugin,
  modelsPlugin,
  endpointsPlugin,
  versionsPlugin,
  executedPlugin,
  pipelinesPlugin
];

export default plugins;
