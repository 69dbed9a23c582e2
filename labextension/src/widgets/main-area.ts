import type { JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget, type WidgetTracker } from '@jupyterlab/apputils';
import type { Widget } from '@lumino/widgets';

/** Show a panel as a tab of the main area, and keep track of it. */
export function openInMainArea<T extends Widget>(
  shell: JupyterFrontEnd.IShell,
  tracker: WidgetTracker<MainAreaWidget<T>>,
  content: T
): void {
  const widget = new MainAreaWidget({ content });
  widget.toolbar.hide();
  content.node.ariaLabel = content.title.caption; // The widget says "main area".
  shell.add(widget, 'main');
  shell.activateById(widget.id);
  void tracker.add(widget);
}
