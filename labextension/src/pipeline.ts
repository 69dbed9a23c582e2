import { LiveModel } from './live';
import type { IPipelineModel, IPipelineView, IRunChoice } from './tokens';

/** A pipeline file: planned again when it is saved or a run of it ends. */
export class PipelineModel extends LiveModel implements IPipelineModel {
  view: IPipelineView | null = null;
  isStarting = false;

  async refresh(): Promise<void> {
    const request = ++this._nPlans;
    await this.attempt(async () => {
      const view = await this.api.getPipeline();
      if (request === this._nPlans) {
        this.view = view;
        this.setRun(view.run);
      }
    });
  }

  async start(choice: IRunChoice): Promise<void> {
    this.isStarting = true;
    await this.attempt(async () => {
      try {
        this.setRun(await this.api.startPipeline(choice));
      } finally {
        this.isStarting = false;
      }
    });
  }

  protected override async poll(): Promise<void> {
    await this.refreshRun();
    if (this.run?.status !== 'RUNNING') {
      await this.refresh();
    }
  }

  private _nPlans = 0;
}
