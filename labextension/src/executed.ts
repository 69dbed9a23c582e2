/** Executed notebooks: read from the server, shown without a kernel. */
import type { IDocumentManager } from '@jupyterlab/docmanager';
import { Contents, type ServerConnection } from '@jupyterlab/services';
import { Signal } from '@lumino/signaling';

import { createApi } from './api';
import type { ILiveModel } from './tokens';

/** Name of the widget factory; it starts no kernel. */
export const READER = 'Executed notebook';
const DRIVE = 'nbmlops';
const PAUSE_MS = 2000;

/** Where an executed notebook is: of a run, or of a step of a live one. */
export interface IExecuted {
  /** The file that ran. */
  path: string;
  step: string;
  run_id: string | null;
  /** Of the live run; null when that is not known. */
  live_id: string | null;
}

/** Open an executed notebook, and read it again while it grows. */
export function openExecuted(
  documents: IDocumentManager,
  model: ILiveModel,
  executed: IExecuted
): void {
  const widget = documents.openOrReveal(toDrivePath(executed), READER);
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
      model.stateChanged.disconnect(onChanged);
    }
  };
  model.stateChanged.connect(onChanged);
  widget.disposed.connect(() => model.stateChanged.disconnect(onChanged));
}

/** Return the path of an executed notebook in the drive. */
export function toDrivePath({ path, step, run_id, live_id }: IExecuted): string {
  const [kind, id] = live_id === null ? ['run', run_id ?? ''] : ['live', live_id];
  const name = step.replace(/[%/]/g, encodeURIComponent);
  return `${DRIVE}:${kind}/${id}/${encodeURIComponent(path)}/${name}.ipynb`;
}

/** The drive of executed notebooks, which are read only. */
export class RunDrive implements Contents.IDrive {
  constructor(readonly serverSettings: ServerConnection.ISettings) {}

  readonly name = DRIVE;
  readonly fileChanged = new Signal<this, Contents.IChangedArgs>(this);
  isDisposed = false;

  dispose(): void {
    this.isDisposed = true;
    Signal.clearData(this);
  }

  async get(localPath: string): Promise<Contents.IModel> {
    const [kind, id, path, name] = localPath.split('/');
    if (!kind || !id || path === undefined || !name) {
      return { ...toModel(localPath, 'directory'), content: [] };
    }
    const { serverSettings } = this;
    const api = createApi({ serverSettings, path: decodeURIComponent(path) });
    const step = decodeURIComponent(name.replace(/\.ipynb$/, ''));
    const content = await (kind === 'live'
      ? api.getStepNotebook(id, step)
      : api.getRunNotebook(id));
    return { ...toModel(localPath, 'notebook'), content, format: 'json' };
  }

  readonly getDownloadUrl = refuse;
  readonly newUntitled = refuse;
  readonly delete = refuse;
  readonly rename = refuse;
  readonly save = refuse;
  readonly copy = refuse;
  readonly createCheckpoint = refuse;
  readonly listCheckpoints = () => Promise.resolve([]);
  readonly restoreCheckpoint = refuse;
  readonly deleteCheckpoint = refuse;
}

function refuse(): Promise<never> {
  return Promise.reject(new Error('An executed notebook is read only.'));
}

function toModel(path: string, type: Contents.ContentType): Contents.IModel {
  const now = new Date().toISOString();
  return {
    name: path.slice(path.lastIndexOf('/') + 1),
    path,
    type,
    writable: false,
    created: now,
    last_modified: now,
    mimetype: '',
    content: null,
    format: null
  };
}
