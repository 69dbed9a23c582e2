import type { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { VDomModel } from '@jupyterlab/ui-components';
import type { IDisposable } from '@lumino/disposable';

import { type Api, createApi } from './api';
import { RequestError, toProblem } from './request';
import type {
  ICodeDifference,
  IProblem,
  IVersionDetail,
  IVersionModel,
  Topic
} from './tokens';

const SHOWN: readonly Topic[] = ['models', 'runs', 'endpoints'];

export namespace VersionModel {
  export interface IOptions {
    serverSettings: ServerConnection.ISettings;
    path: string;
    name: string;
    version: number;
    trans: TranslationBundle;
  }
}

/** One model version, read when it shows and when something changes then. */
export class VersionModel extends VDomModel implements IVersionModel {
  constructor(private readonly _options: VersionModel.IOptions) {
    super();
    this.name = _options.name;
    this.version = _options.version;
    this.path = _options.path;
    this._api = createApi(_options);
  }

  readonly name: string;
  readonly version: number;
  readonly path: string;
  detail: IVersionDetail | null = null;
  isGone = false;
  problem: IProblem | null = null;
  code: ICodeDifference | null = null;
  isComparing = false;
  codeProblem: IProblem | null = null;

  resume(): void {
    if (!this._events && !this.isDisposed) {
      this._events = this._api.listen(
        topics => topics.some(topic => SHOWN.includes(topic)) && void this.refresh(),
        () => void this.refresh()
      );
      void this.refresh();
    }
  }

  pause(): void {
    this._events?.dispose();
    this._events = null;
  }

  /** Read once more; several requests during a reading lead to one more after it. */
  async refresh(): Promise<void> {
    this._isStale = true;
    if (this._isReading) {
      return;
    }
    this._isReading = true;
    while (this._takeStale()) {
      await this._read();
    }
    this._isReading = false;
  }

  async compareCode(): Promise<void> {
    const run = this.detail?.version.run_id;
    const base = this.detail?.champion?.run_id;
    if (!run || !base || this.isComparing) {
      return;
    }
    this.isComparing = true;
    this.codeProblem = null;
    this._emit();
    try {
      this.code = (await this._api.compareRuns(base, run)).code[0] ?? null;
    } catch (error) {
      this.codeProblem = toProblem(error, this._options.trans);
    }
    this.isComparing = false;
    this._emit();
  }

  toImageUrl(file: string): string {
    return this._api.toImageUrl(this.detail?.version.run_id ?? '', file);
  }

  override dispose(): void {
    this.pause();
    super.dispose();
  }

  private async _read(): Promise<void> {
    try {
      const detail = await this._api.getVersion(this.name, this.version);
      if (detail.champion?.version !== this.detail?.champion?.version) {
        this.code = null;
      }
      this.detail = detail;
      this.isGone = false;
      this.problem = null;
    } catch (error) {
      this.problem = toProblem(error, this._options.trans);
      this.isGone = error instanceof RequestError && error.kind === 'NotFoundError';
      if (this.isGone) {
        this.detail = null;
      }
    }
    this._emit();
  }

  private _takeStale(): boolean {
    const isStale = this._isStale;
    this._isStale = false;
    return isStale && !this.isDisposed;
  }

  private _emit(): void {
    if (!this.isDisposed) {
      this.stateChanged.emit();
    }
  }

  private readonly _api: Api;
  private _events: IDisposable | null = null;
  private _isReading = false;
  private _isStale = false;
}
