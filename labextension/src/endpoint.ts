import type { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { VDomModel } from '@jupyterlab/ui-components';

import { type Api, createApi } from './api';
import { RequestError, toProblem } from './request';
import type {
  CanaryRules,
  EndpointAction,
  IEndpointDetail,
  IEndpointMetrics,
  IEndpointModel,
  IModelVersion,
  IProblem
} from './tokens';

const POLL_MS = 1000;
/** Reading the state asks the endpoint itself, which need not be each second. */
const POLLS_PER_STATE = 3;
const N_VERSIONS = 50;

export namespace EndpointModel {
  export interface IOptions {
    serverSettings: ServerConnection.ISettings;
    path: string;
    name: string;
    trans: TranslationBundle;
  }
}

/** One endpoint, read once a second while it shows. */
export class EndpointModel extends VDomModel implements IEndpointModel {
  constructor(private readonly _options: EndpointModel.IOptions) {
    super();
    this.name = _options.name;
    this.path = _options.path;
    this._api = createApi(_options);
  }

  readonly nReadings = 60;
  readonly name: string;
  readonly path: string;
  endpoint: IEndpointDetail | null = null;
  history: readonly IEndpointMetrics[] = [];
  log: readonly string[] | null = null;
  versions: readonly IModelVersion[] = [];
  action: EndpointAction | null = null;
  message = '';
  problem: IProblem | null = null;
  readProblem: IProblem | null = null;

  resume(): void {
    if (!this._isActive && !this.isDisposed) {
      this._isActive = true;
      this._nPolls = 0;
      if (this.history.length > 0) {
        const n_missed = Math.floor((Date.now() - this._read_at) / POLL_MS);
        this._keep(
          Array<IEndpointMetrics>(Math.min(n_missed, this.nReadings)).fill(this._gap)
        );
      }
      void this._poll(++this._run);
    }
  }

  pause(): void {
    this._isActive = false;
    this._run += 1;
    window.clearTimeout(this._timer);
  }

  async refresh(): Promise<void> {
    this.pause();
    this.resume();
    await this._readState();
  }

  async showLog(isShown: boolean): Promise<void> {
    this._isLogShown = isShown;
    if (isShown) {
      await this._readLog();
    } else {
      this.log = null;
    }
    this._emit();
  }

  setCanary(version: number, share: number, rules: CanaryRules): Promise<void> {
    const { trans } = this._options;
    const percent = Math.round(share * 1000) / 10;
    return this._change(
      'canary',
      () => this._api.putCanary(this.name, { version, share, rules }),
      () => trans.__('Version %1 answers %2% of the requests.', version, percent)
    );
  }

  promote(): Promise<void> {
    const { trans } = this._options;
    return this._change(
      'promote',
      () => this._api.promote(this.name),
      ({ version }) => trans.__('Version %1 answers all requests now.', version)
    );
  }

  abort(): Promise<void> {
    const { trans } = this._options;
    return this._change(
      'abort',
      () => this._api.abort(this.name),
      ({ version }) =>
        trans.__('The canary has ended. Version %1 answers all requests.', version)
    );
  }

  rollBack(): Promise<void> {
    const { trans } = this._options;
    return this._change(
      'rollback',
      () => this._api.rollBack(this.name),
      ({ version }) => trans.__('Rolled back to version %1.', version)
    );
  }

  async stop(): Promise<void> {
    await this._attempt('stop', async () => {
      await this._api.deleteEndpoint(this.name);
      this.pause();
      this.endpoint = null;
      this.message = this._options.trans.__('Endpoint %1 was stopped.', this.name);
    });
  }

  predict(payload: string): Promise<unknown> {
    return this._api.predict(this.name, payload);
  }

  readonly explain = (error: unknown): IProblem =>
    toProblem(error, this._options.trans);

  override dispose(): void {
    this.pause();
    super.dispose();
  }

  private _change(
    action: EndpointAction,
    work: () => Promise<IEndpointDetail>,
    say: (endpoint: IEndpointDetail) => string
  ): Promise<void> {
    return this._attempt(action, async () => {
      const endpoint = await work();
      this._nStates += 1;
      this.endpoint = endpoint;
      this.message = say(endpoint);
    });
  }

  /** Do one thing at a time, and show what the server objects to. */
  private async _attempt(
    action: EndpointAction,
    work: () => Promise<void>
  ): Promise<void> {
    if (this.action !== null) {
      return;
    }
    this.action = action;
    this.problem = null;
    this.message = '';
    this._emit();
    try {
      await work();
    } catch (error) {
      this.problem = this.explain(error);
    }
    this.action = null;
    this._emit();
  }

  /** Read, then again a second after the answer; `run` ends with the next pause. */
  private async _poll(run: number): Promise<void> {
    const reads = [this._readMetrics(run)];
    if (this._nPolls++ % POLLS_PER_STATE === 0) {
      reads.push(this._readState(), this._readLog());
    }
    await Promise.all(reads);
    if (run === this._run) {
      this._timer = window.setTimeout(() => void this._poll(run), POLL_MS);
    }
  }

  private async _readMetrics(run: number): Promise<void> {
    try {
      const metrics = await this._api.getMetrics(this.name);
      if (run === this._run) {
        this._keep([metrics]);
        this._emit();
      }
    } catch {
      // The state, which is read too, says why.
      if (run === this._run) {
        this._keep([this._gap]);
      }
    }
  }

  private _keep(readings: IEndpointMetrics[]): void {
    this.history = [...this.history, ...readings].slice(-this.nReadings);
    this._read_at = Date.now();
  }

  /** A second in which nothing was read. */
  private get _gap(): IEndpointMetrics {
    return { name: this.name, versions: [] };
  }

  private async _readState(): Promise<void> {
    const request = ++this._nStates;
    try {
      const endpoint = await this._api.getEndpoint(this.name);
      const isFirst = this.endpoint?.model !== endpoint.model;
      if (request === this._nStates) {
        this.endpoint = endpoint;
        this.readProblem = null;
      }
      if (isFirst || this._nPolls % (10 * POLLS_PER_STATE) === 1) {
        await this._readVersions(endpoint.model);
      }
    } catch (error) {
      if (request === this._nStates) {
        this.readProblem = this.explain(error);
        if (error instanceof RequestError && error.kind === 'NotFoundError') {
          this.endpoint = null;
        }
      }
    }
    this._emit();
  }

  private async _readLog(): Promise<void> {
    if (!this._isLogShown) {
      return;
    }
    try {
      const { lines } = await this._api.getLog(this.name);
      this._setLog(lines);
    } catch {
      // The state, which is read too, says why.
    }
  }

  /** Keep what was read, unless the log was closed meanwhile. */
  private _setLog(lines: readonly string[]): void {
    this.log = this._isLogShown ? lines : null;
  }

  /** Read what could be a canary; without the store, all else can still be done. */
  private async _readVersions(model: string): Promise<void> {
    try {
      const query = { limit: N_VERSIONS, page_token: null };
      this.versions = (await this._api.listVersions(model, query)).items;
    } catch (error) {
      this.problem ??= this.explain(error);
    }
  }

  private _emit(): void {
    if (!this.isDisposed) {
      this.stateChanged.emit();
    }
  }

  private readonly _api: Api;
  private _isActive = false;
  private _isLogShown = false;
  private _run = 0;
  private _timer = 0;
  private _nPolls = 0;
  private _read_at = 0;
  private _nStates = 0;
}
