import type { TranslationBundle } from '@jupyterlab/translation';
import { VDomModel } from '@jupyterlab/ui-components';

import type { Api } from './api';
import type {
  IDeployment,
  IDeploymentPlan,
  IEndpointDetail,
  IProblem,
  IStep,
  StepName
} from './tokens';

const POLL_MS = 1000;
const POLLS_FOR_READY = 60;
const POLLS_FOR_VERSION = 10;

type Step = { -readonly [key in keyof IStep]: IStep[key] };

export namespace Deployment {
  export interface IOptions {
    plan: IDeploymentPlan;
    api: Api;
    trans: TranslationBundle;
    explain: (error: unknown) => IProblem;
  }
}

/** Register, deploy and wait; what is done is not done again. */
export class Deployment extends VDomModel implements IDeployment {
  constructor(private readonly _options: Deployment.IOptions) {
    super();
    const { run_id, version } = _options.plan;
    this._version = version ?? 0;
    const names: StepName[] = ['register', 'deploy', 'ready'];
    this.steps = names
      .filter(name => name !== 'register' || run_id !== undefined)
      .map(name => ({ name, state: 'waiting', detail: '' }));
  }

  state: IDeployment['state'] = 'running';
  readonly steps: Step[];
  problem: IProblem | null = null;
  endpoint: IEndpointDetail | null = null;

  async run(): Promise<void> {
    this.state = 'running';
    this.problem = null;
    for (const step of this.steps.slice(this._next())) {
      step.state = 'running';
      this.stateChanged.emit();
      try {
        step.detail = await this[step.name]();
        step.state = 'done';
      } catch (error) {
        step.state = 'failed';
        this.problem = this._options.explain(error);
        break;
      }
    }
    this.state = this.problem ? 'failed' : 'done';
    this.stateChanged.emit();
  }

  predict(payload: string): Promise<unknown> {
    const { plan, api } = this._options;
    return api.predict(this.endpoint?.name ?? plan.model, payload);
  }

  protected async register(): Promise<string> {
    const { plan, api, trans } = this._options;
    const run_id = plan.run_id ?? '';
    const { version } = await api.createVersion(plan.model, { run_id });
    this._version = version;
    return trans.__('%1 version %2', plan.model, version);
  }

  protected async deploy(): Promise<string> {
    const { plan, api, trans } = this._options;
    const { model, alias, canary } = plan;
    if (canary) {
      const { endpoint, share } = canary;
      const body = { version: this._version, share };
      this.endpoint = await api.putCanary(endpoint, body);
      return trans.__('%1, as its canary', endpoint);
    }
    const target = { model, version: this._version, ...(alias && { alias }) };
    this.endpoint = await api.putEndpoint(model, target);
    const { name } = this.endpoint;
    return alias ? trans.__('%1, as %2', name, alias) : name;
  }

  protected async ready(): Promise<string> {
    const { plan, api, trans } = this._options;
    if (plan.canary) {
      const percent = Math.round(plan.canary.share * 100);
      return trans.__('version %1 answers %2% of the requests', this._version, percent);
    }
    for (let n = 0; n < this._maxPolls() && !this._isServing(); n++) {
      if (this.endpoint?.state === 'dead') {
        throw new Error(this.endpoint.message || trans.__('The endpoint has died.'));
      }
      await new Promise(resolve => setTimeout(resolve, POLL_MS));
      this.endpoint = await api.getEndpoint(plan.model);
    }
    const endpoint = this.endpoint;
    if (endpoint?.state !== 'ready') {
      throw new Error(
        endpoint?.message || trans.__('The endpoint is not ready after a minute.')
      );
    }
    if (endpoint.version !== this._version) {
      throw new Error(
        trans.__(
          'The endpoint answers with version %1, not %2. Stop it, then try again.',
          endpoint.version,
          this._version
        )
      );
    }
    return trans.__('version %1 answers', endpoint.version);
  }

  /** The step to go on with; an endpoint that is not ready is deployed again. */
  private _next(): number {
    const next = this.steps.findIndex(({ state }) => state !== 'done');
    return this.steps[next]?.state === 'failed' && this.steps[next].name === 'ready'
      ? next - 1
      : next;
  }

  /** An endpoint follows its alias soon, or not at all. */
  private _maxPolls(): number {
    return this.endpoint?.state === 'ready' ? POLLS_FOR_VERSION : POLLS_FOR_READY;
  }

  private _isServing(): boolean {
    const { state, version } = this.endpoint ?? {};
    return state === 'ready' && version === this._version;
  }

  private _version: number;
}
