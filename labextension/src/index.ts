import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { commandsPlugin } from './plugins/commands';
import { registryPlugin } from './plugins/registry';
import { sidebarPlugin } from './plugins/sidebar';

export { IModelRegistry } from './tokens';

const plugins: JupyterFrontEndPlugin<unknown>[] = [
  registryPlugin,
  commandsPlugin,
  sidebarPlugin
];

export default plugins;
