import { PromiseDelegate } from '@lumino/coreutils';

import * as api from './api';
import { LiveModel } from './live';
import type { ILiveRun, IStepForm, IStepModel } from './tokens';

/** A notebook, its parameters, and its run as a tracked step. */
export class StepModel extends LiveModel implements IStepModel {
  get form(): IStepForm | null {
    return this._form;
  }

  get isStarted(): boolean {
    return this._isStarted;
  }

  get finished(): Promise<ILiveRun> {
    return this._finished.promise;
  }

  async load(): Promise<void> {
    await this.attempt(async () => {
      this._form = await api.getStepForm(this.scope);
      if (this._form.run?.status === 'RUNNING') {
        this._take(this._form.run);
      }
    });
  }

  async start(texts: Record<string, string>): Promise<void> {
    await this.attempt(async () => {
      this._take(await api.startStep(this.scope, texts));
    });
  }

  override dispose(): void {
    this._finished.reject(new Error('disposed'));
    super.dispose();
  }

  protected override async look(): Promise<void> {
    const { run } = this;
    if (run?.status === 'RUNNING') {
      await this.attempt(() => this.reread(run));
    }
  }

  protected override show(run: ILiveRun | null): void {
    super.show(run);
    if (run && run.status !== 'RUNNING') {
      this.pause();
      this._finished.resolve(run);
    }
  }

  private _take(run: ILiveRun): void {
    this._isStarted = true;
    this.show(run);
    this.resume();
  }

  private readonly _finished = new PromiseDelegate<ILiveRun>();
  private _form: IStepForm | null = null;
  private _isStarted = false;
}
