import * as api from './api';
import { LiveModel } from './live';
import type { IPipelineModel, IPipelineView, IRunChoice } from './tokens';

/** A pipeline file: planned anew when it is saved or a run of it ends. */
export class PipelineModel extends LiveModel implements IPipelineModel {
  get view(): IPipelineView | null {
    return this._view;
  }

  get isStarting(): boolean {
    return this._isStarting;
  }

  async refresh(): Promise<void> {
    const turn = ++this._turn;
    await this.attempt(async () => {
      const view = await api.getPipeline(this.scope);
      if (turn === this._turn) {
        this._view = view;
        this.show(view.run);
      }
    });
  }

  async start(choice: IRunChoice): Promise<void> {
    this._isStarting = true;
    await this.attempt(async () => {
      try {
        this.show(await api.startPipeline(this.scope, choice));
      } finally {
        this._isStarting = false;
      }
    });
  }

  protected override async look(): Promise<void> {
    const { run } = this;
    if (run?.status === 'RUNNING') {
      await this.attempt(() => this.reread(run));
    }
    if (this.run?.status !== 'RUNNING') {
      await this.refresh();
    }
  }

  private _view: IPipelineView | null = null;
  private _isStarting = false;
  private _turn = 0;
}
