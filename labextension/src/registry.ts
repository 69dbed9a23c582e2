import type { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import { type ISignal, Signal } from '@lumino/signaling';

import * as api from './api';
import { Deployment } from './deployment';
import { Listing } from './listing';
import { type IScope, toProblem } from './request';
import type {
  IDeployment,
  IDeploymentPlan,
  IEndpoint,
  IEndpointDetail,
  IListing,
  IModelRegistry,
  IModelVersion,
  IPage,
  IProblem,
  IProject,
  IRegisteredModel,
  IRun,
  Topic
} from './tokens';

export namespace ModelRegistry {
  export interface IOptions {
    serverSettings: ServerConnection.ISettings;
    trans: TranslationBundle;
  }
}

/** What the sidebar shows, kept as the server's events say. */
export class ModelRegistry implements IModelRegistry {
  constructor(private readonly _options: ModelRegistry.IOptions) {
    this._scope = this._at('');
    this._models = this._createListing(query =>
      api.listModels(this._scope, { ...query, search: this._search })
    );
    this._endpoints = this._createListing(() => api.listEndpoints(this._scope));
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  get project(): IProject | null {
    return this._project;
  }

  get problem(): IProblem | null {
    return this._problem;
  }

  get models(): IListing<IRegisteredModel> {
    return this._models;
  }

  get endpoints(): IListing<IEndpoint> {
    return this._endpoints;
  }

  get search(): string {
    return this._search;
  }

  set search(value: string) {
    if (value !== this._search) {
      this._search = value;
      this._models.clear();
      void this._models.reload();
    }
  }

  versions(model: string): IListing<IModelVersion> | null {
    return this._versions.get(model) ?? null;
  }

  toggle(model: string): void {
    if (this._versions.delete(model)) {
      this._changed.emit();
      return;
    }
    const versions = this._createListing(query =>
      api.listVersions(this._scope, model, query)
    );
    this._versions.set(model, versions);
    void versions.reload();
  }

  async follow(path: string): Promise<void> {
    this._path = path;
    if (this._isActive) {
      await this._turnTo(path);
    } else {
      this._scope = this._at(path);
    }
  }

  resume(): void {
    if (!this._isActive) {
      this._isActive = true;
      void this.refresh();
    }
  }

  pause(): void {
    this._isActive = false;
    this._events?.dispose();
    this._events = null;
  }

  async refresh(): Promise<void> {
    const known = this._project?.path;
    await this._turnTo(this._path);
    if (this._project && this._project.path === known) {
      await this._reload(['models', 'endpoints']);
    }
  }

  async findRun(notebook: string, kernel?: string): Promise<IRun | null> {
    const query = { notebook, kernel, with_model: true, limit: 1 };
    const { items } = await api.listRuns(this._at(notebook), query);
    return items[0] ?? null;
  }

  async setAlias(model: string, alias: string, version: number): Promise<void> {
    await api.setAlias(this._scope, model, alias, { version });
    await this._reload(['models']);
  }

  createDeployment(plan: IDeploymentPlan, notebook?: string): IDeployment {
    const scope = notebook === undefined ? this._scope : this._at(notebook);
    const { trans } = this._options;
    const deployment = new Deployment({ plan, scope, trans, explain: this.explain });
    deployment.changed.connect(({ state }) => {
      if (this._isActive && state !== 'running') {
        void this._reload(['models', 'endpoints']);
      }
    });
    return deployment;
  }

  getEndpoint(name: string): Promise<IEndpointDetail> {
    return api.getEndpoint(this._scope, name);
  }

  predict(endpoint: string, payload: string): Promise<unknown> {
    return api.predict(this._scope, endpoint, payload);
  }

  async stop(endpoint: string): Promise<void> {
    await api.deleteEndpoint(this._scope, endpoint);
    await this._reload(['endpoints']);
  }

  readonly explain = (error: unknown): IProblem =>
    toProblem(error, this._options.trans);

  dispose(): void {
    this.pause();
    this._isDisposed = true;
    Signal.clearData(this);
  }

  /** Ask which project a path is in; read it when it is another one. */
  private async _turnTo(path: string): Promise<void> {
    const scope = this._at(path);
    try {
      const project = await api.getProject(scope);
      if (path !== this._path) {
        return;
      }
      const isOther = project.path !== this._project?.path;
      this._scope = scope;
      this._project = project;
      this._problem = null;
      if (isOther) {
        this._forget();
      }
      if (this._isActive && !this._events) {
        this._events = api.listenToEvents(
          scope,
          topics => void this._reload(topics),
          () => void this.refresh()
        );
      }
      this._changed.emit();
      if (isOther) {
        await this._reload(['models', 'endpoints']);
      }
    } catch (error) {
      if (path === this._path) {
        this._problem = this.explain(error);
        this._changed.emit();
      }
    }
  }

  private async _reload(topics: readonly Topic[]): Promise<void> {
    const listings: Listing<unknown>[] = [];
    if (topics.includes('models')) {
      listings.push(this._models, ...this._versions.values());
    }
    if (topics.includes('endpoints')) {
      listings.push(this._endpoints);
    }
    await Promise.all(listings.map(listing => listing.reload()));
  }

  /** Drop what belongs to the project that was in view. */
  private _forget(): void {
    this._events?.dispose();
    this._events = null;
    this._search = '';
    this._versions.clear();
    this._models.clear();
    this._endpoints.clear();
  }

  private _at(path: string): IScope {
    return { serverSettings: this._options.serverSettings, path };
  }

  private _createListing<T>(
    read: (query: api.IPageQuery) => Promise<IPage<T>>
  ): Listing<T> {
    const onChanged = () => this._changed.emit();
    return new Listing({ read, explain: this.explain, onChanged });
  }

  private readonly _changed = new Signal<this, void>(this);
  private readonly _models: Listing<IRegisteredModel>;
  private readonly _endpoints: Listing<IEndpoint>;
  private readonly _versions = new Map<string, Listing<IModelVersion>>();
  private _path = '';
  private _scope: IScope;
  private _project: IProject | null = null;
  private _problem: IProblem | null = null;
  private _search = '';
  private _events: IDisposable | null = null;
  private _isActive = false;
  private _isDisposed = false;
}
