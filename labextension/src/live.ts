import type { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { VDomModel } from '@jupyterlab/ui-components';
import type { IDisposable } from '@lumino/disposable';

import { type Api, createApi } from './api';
import { toProblem } from './request';
import type { ILiveModel, ILiveRun, IProblem, IRun } from './tokens';

export namespace LiveModel {
  export interface IOptions {
    serverSettings: ServerConnection.ISettings;
    /** The file that runs. */
    path: string;
    trans: TranslationBundle;
  }
}

/** A run on the server, read again whenever its events say so. */
export abstract class LiveModel extends VDomModel implements ILiveModel {
  constructor(private readonly _options: LiveModel.IOptions) {
    super();
    this.api = createApi(_options);
  }

  run: ILiveRun | null = null;
  problem: IProblem | null = null;

  resume(): void {
    if (!this._events && !this.isDisposed) {
      this._events = this.api.listen(
        topics => {
          if (topics.includes('pipelines')) {
            void this.poll();
          }
        },
        () => void this.poll()
      );
      void this.poll();
    }
  }

  pause(): void {
    this._events?.dispose();
    this._events = null;
  }

  async stop(): Promise<void> {
    const { run } = this;
    if (run) {
      await this.attempt(async () => this.setRun(await this.api.stopLiveRun(run.id)));
    }
  }

  findRun(run_id: string): Promise<IRun> {
    return this.api.getRun(run_id);
  }

  readonly explain = (error: unknown): IProblem =>
    toProblem(error, this._options.trans);

  override dispose(): void {
    this.pause();
    super.dispose();
  }

  /** Read what may have changed. */
  protected abstract poll(): Promise<void>;

  protected setRun(run: ILiveRun | null): void {
    this.run = run;
    this.stateChanged.emit();
  }

  /** Read the run again while it goes on; of overlapping answers the newest counts. */
  protected async refreshRun(): Promise<void> {
    const { run } = this;
    if (run?.status !== 'RUNNING') {
      return;
    }
    const request = ++this._nRequests;
    await this.attempt(async () => {
      const found = await this.api.getLiveRun(run.id);
      if (this.run?.id === run.id && request > this._nShown) {
        this._nShown = request;
        this.setRun(found);
      }
    });
  }

  /** Do something, and show what the server objects to. */
  protected async attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.problem = null;
    } catch (error) {
      this.problem = this.explain(error);
    }
    if (!this.isDisposed) {
      this.stateChanged.emit();
    }
  }

  protected readonly api: Api;
  private _events: IDisposable | null = null;
  private _nRequests = 0;
  private _nShown = 0;
}
