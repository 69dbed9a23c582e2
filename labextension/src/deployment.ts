import type { TranslationBundle } from '@jupyterlab/translation';
import { type ISignal, Signal } from '@lumino/signaling';

import * as api from './api';
import type { IScope } from './request';
import type {
  IDeployment,
  IDeploymentPlan,
  IEndpointDetail,
  IProblem,
  IStep,
  StepName
} from './tokens';

const LOOK_AGAIN_MS = 1000;
const LOOKS_FOR_READY = 60;
const LOOKS_FOR_VERSION = 10;

type Step = { -readonly [key in keyof IStep]: IStep[key] };

export namespace Deployment {
  export interface IOptions {
    plan: IDeploymentPlan;
    scope: IScope;
    trans: TranslationBundle;
    explain: (error: unknown) => IProblem;
  }
}

/** Register, deploy and wait; what is done is not done again. */
export class Deployment implements IDeployment {
  constructor(private readonly _options: Deployment.IOptions) {
    const { run_id, version } = _options.plan;
    this._version = version ?? 0;
    const names: StepName[] = ['register', 'deploy', 'ready'];
    this._steps = names
      .filter(name => name !== 'register' || run_id !== undefined)
      .map(name => ({ name, state: 'waiting', detail: '' }));
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  get state(): IDeployment['state'] {
    return this._state;
  }

  get steps(): readonly IStep[] {
    return this._steps;
  }

  get problem(): IProblem | null {
    return this._problem;
  }

  get endpoint(): IEndpointDetail | null {
    return this._endpoint;
  }

  async run(): Promise<void> {
    this._state = 'running';
    this._problem = null;
    for (const step of this._steps.slice(this._next())) {
      step.state = 'running';
      this._changed.emit();
      try {
        step.detail = await this[step.name]();
        step.state = 'done';
      } catch (error) {
        step.state = 'failed';
        this._problem = this._options.explain(error);
        break;
      }
    }
    this._state = this._problem ? 'failed' : 'done';
    this._changed.emit();
  }

  predict(payload: string): Promise<unknown> {
    const { plan, scope } = this._options;
    return api.predict(scope, this._endpoint?.name ?? plan.model, payload);
  }

  dispose(): void {
    this._isDisposed = true;
    Signal.clearData(this);
  }

  protected async register(): Promise<string> {
    const { plan, scope, trans } = this._options;
    const run_id = plan.run_id ?? '';
    const { version } = await api.createVersion(scope, plan.model, { run_id });
    this._version = version;
    return trans.__('%1 version %2', plan.model, version);
  }

  protected async deploy(): Promise<string> {
    const { plan, scope, trans } = this._options;
    const { model, alias } = plan;
    const target = { model, version: this._version, ...(alias && { alias }) };
    this._endpoint = await api.putEndpoint(scope, model, target);
    const { name } = this._endpoint;
    return alias ? trans.__('%1, as %2', name, alias) : name;
  }

  protected async ready(): Promise<string> {
    const { plan, scope, trans } = this._options;
    for (let n = 0; n < this._looks() && !this._isServing(); n++) {
      if (this._endpoint?.state === 'dead') {
        throw new Error(this._endpoint.message || trans.__('The endpoint has died.'));
      }
      await new Promise(resolve => setTimeout(resolve, LOOK_AGAIN_MS));
      this._endpoint = await api.getEndpoint(scope, plan.model);
    }
    const endpoint = this._endpoint;
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
    const next = this._steps.findIndex(({ state }) => state !== 'done');
    return this._steps[next]?.state === 'failed' && this._steps[next].name === 'ready'
      ? next - 1
      : next;
  }

  /** An endpoint follows its alias soon, or not at all. */
  private _looks(): number {
    return this._endpoint?.state === 'ready' ? LOOKS_FOR_VERSION : LOOKS_FOR_READY;
  }

  private _isServing(): boolean {
    const { state, version } = this._endpoint ?? {};
    return state === 'ready' && version === this._version;
  }

  private readonly _changed = new Signal<this, void>(this);
  private readonly _steps: Step[];
  private _state: IDeployment['state'] = 'running';
  private _problem: IProblem | null = null;
  private _endpoint: IEndpointDetail | null = null;
  private _version: number;
  private _isDisposed = false;
}
