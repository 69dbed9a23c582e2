import type { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import { type ISignal, Signal } from '@lumino/signaling';

import * as api from './api';
import { type IScope, toProblem } from './request';
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
export abstract class LiveModel implements ILiveModel {
  constructor(private readonly _options: LiveModel.IOptions) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  get run(): ILiveRun | null {
    return this._run;
  }

  get problem(): IProblem | null {
    return this._problem;
  }

  resume(): void {
    if (!this._events && !this._isDisposed) {
      this._events = api.listenToEvents(
        this.scope,
        topics => {
          if (topics.includes('pipelines')) {
            void this.look();
          }
        },
        () => void this.look()
      );
      void this.look();
    }
  }

  pause(): void {
    this._events?.dispose();
    this._events = null;
  }

  async stop(): Promise<void> {
    const { run } = this;
    if (run) {
      await this.attempt(async () => {
        this.show(await api.stopLiveRun(this.scope, run.id));
      });
    }
  }

  findRun(run_id: string): Promise<IRun> {
    return api.getRun(this.scope, run_id);
  }

  readonly explain = (error: unknown): IProblem =>
    toProblem(error, this._options.trans);

  dispose(): void {
    this.pause();
    this._isDisposed = true;
    Signal.clearData(this);
  }

  protected get scope(): IScope {
    const { serverSettings, path } = this._options;
    return { serverSettings, path };
  }

  /** Read what may have changed. */
  protected abstract look(): Promise<void>;

  /** Show a run; the later of two answers that overlap counts. */
  protected show(run: ILiveRun | null): void {
    this._run = run;
    this._changed.emit();
  }

  /** Read the run anew. */
  protected async reread(run: ILiveRun): Promise<void> {
    const found = await api.getLiveRun(this.scope, run.id);
    if (this._run?.id === run.id) {
      this.show(found);
    }
  }

  /** Do something, and show what the server objects to. */
  protected async attempt(work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      this._problem = null;
    } catch (error) {
      this._problem = this.explain(error);
    }
    if (!this._isDisposed) {
      this._changed.emit();
    }
    return this._problem === null;
  }

  private readonly _changed = new Signal<this, void>(this);
  private _run: ILiveRun | null = null;
  private _problem: IProblem | null = null;
  private _events: IDisposable | null = null;
  private _isDisposed = false;
}
