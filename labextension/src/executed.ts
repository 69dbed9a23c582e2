import type { IDocumentManager } from '@jupyterlab/docmanager';

import { type IExecuted, toDrivePath } from './run-drive';
import type { ILiveModel } from './tokens';

/** Name of what opens executed notebooks: it has no kernel, and runs nothing. */
export const READER = 'Executed notebook';
const PAUSE_MS = 2000;

/** Open an executed notebook, and read it again while it grows. */
export function openExecuted(
  documents: IDocumentManager,
  model: ILiveModel,
  executed: IExecuted
): void {
  const path = toDrivePath(executed);
  const widget = documents.openOrReveal(path, READER);
  const isRunning = () =>
    model.run?.id === executed.live_id && model.run.status === 'RUNNING';
  if (!widget || !isRunning()) {
    return;
  }
  const context = documents.contextForWidget(widget);
  let read_at = Date.now();
  const onChanged = () => {
    const hasEnded = !isRunning();
    if (hasEnded || Date.now() - read_at > PAUSE_MS) {
      read_at = Date.now();
      void context?.revert();
    }
    if (hasEnded) {
      model.changed.disconnect(onChanged);
    }
  };
  model.changed.connect(onChanged);
  widget.disposed.connect(() => model.changed.disconnect(onChanged));
}
