import { PromiseDelegate } from '@lumino/coreutils';

import { LiveModel } from './live';
import type { ILiveRun, IStepForm, IStepModel } from './tokens';

/** A notebook, its parameters, and its run as a tracked step. */
export class StepModel extends LiveModel implements IStepModel {
  form: IStepForm | null = null;
  isStarted = false;

  get finished(): Promise<ILiveRun> {
    return this._finished.promise;
  }

  async load(): Promise<void> {
    await this.attempt(async () => {
      this.form = await this.api.getStepForm();
      if (this.form.run?.status === 'RUNNING') {
        this._follow(this.form.run);
      }
    });
  }

  async start(texts: Record<string, string>): Promise<void> {
    await this.attempt(async () => this._follow(await this.api.startStep(texts)));
  }

  override dispose(): void {
    this._finished.reject(new Error('disposed'));
    super.dispose();
  }

  protected override poll(): Promise<void> {
    return this.refreshRun();
  }

  protected override setRun(run: ILiveRun): void {
    super.setRun(run);
    if (run.status !== 'RUNNING') {
      this.pause();
      this._finished.resolve(run);
    }
  }

  private _follow(run: ILiveRun): void {
    this.isStarted = true;
    this.setRun(run);
    this.resume();
  }

  private readonly _finished = new PromiseDelegate<ILiveRun>();
}
