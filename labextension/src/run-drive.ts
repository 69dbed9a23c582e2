import { Contents, type ServerConnection } from '@jupyterlab/services';
import { Signal } from '@lumino/signaling';

import * as api from './api';

const EXECUTED = 'nbmlops';

/** Where an executed notebook is: of a run, or of a step of one that is watched. */
export interface IExecuted {
  /** The file that ran. */
  path: string;
  step: string;
  run_id: string | null;
  /** Of the run that is watched; null when that is not known. */
  live_id: string | null;
}

/** Return the path of an executed notebook in the drive. */
export function toDrivePath({ path, step, run_id, live_id }: IExecuted): string {
  const [kind, id] = live_id === null ? ['run', run_id ?? ''] : ['live', live_id];
  const name = step.replace(/[%/]/g, encodeURIComponent);
  return `${EXECUTED}:${kind}/${id}/${encodeURIComponent(path)}/${name}.ipynb`;
}

/** Executed notebooks, read from the server; none of them can be written. */
export class RunDrive implements Contents.IDrive {
  constructor(readonly serverSettings: ServerConnection.ISettings) {}

  readonly name = EXECUTED;

  get fileChanged(): Signal<Contents.IDrive, Contents.IChangedArgs> {
    return this._fileChanged;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this._isDisposed = true;
    Signal.clearData(this);
  }

  async get(localPath: string): Promise<Contents.IModel> {
    const [kind, id, path, name] = localPath.split('/');
    if (!kind || !id || path === undefined || !name) {
      return { ...model(localPath, 'directory'), content: [] };
    }
    const scope = {
      serverSettings: this.serverSettings,
      path: decodeURIComponent(path)
    };
    const step = decodeURIComponent(name.replace(/\.ipynb$/, ''));
    const content: unknown =
      kind === 'live'
        ? await api.getStepNotebook(scope, id, step)
        : await api.getRunNotebook(scope, id);
    return { ...model(localPath, 'notebook'), content, format: 'json' };
  }

  getDownloadUrl(): Promise<string> {
    return refuse();
  }

  newUntitled(): Promise<Contents.IModel> {
    return refuse();
  }

  delete(): Promise<void> {
    return refuse();
  }

  rename(): Promise<Contents.IModel> {
    return refuse();
  }

  save(): Promise<Contents.IModel> {
    return refuse();
  }

  copy(): Promise<Contents.IModel> {
    return refuse();
  }

  createCheckpoint(): Promise<Contents.ICheckpointModel> {
    return refuse();
  }

  listCheckpoints(): Promise<Contents.ICheckpointModel[]> {
    return Promise.resolve([]);
  }

  restoreCheckpoint(): Promise<void> {
    return refuse();
  }

  deleteCheckpoint(): Promise<void> {
    return refuse();
  }

  private readonly _fileChanged = new Signal<Contents.IDrive, Contents.IChangedArgs>(
    this
  );
  private _isDisposed = false;
}

function refuse(): Promise<never> {
  return Promise.reject(new Error('An executed notebook is read only.'));
}

function model(path: string, type: Contents.ContentType): Contents.IModel {
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
