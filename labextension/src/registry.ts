import type { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { VDomModel } from '@jupyterlab/ui-components';
import type { IDisposable } from '@lumino/disposable';

import { type Api, createApi, type IPageQuery } from './api';
import { Deployment } from './deployment';
import { EndpointModel } from './endpoint';
import { Listing } from './listing';
import { toProblem } from './request';
import type {
  ICandidates,
  ICandidatesQuery,
  IDeployment,
  IDeploymentPlan,
  IEndpointDetail,
  IEndpointModel,
  IListing,
  IModelRegistry,
  IModelVersion,
  IPage,
  IProblem,
  IProject,
  IVersionModel,
  IVersionsModel,
  Topic
} from './tokens';
import { VersionModel } from './version';
import { VersionsModel } from './versions';

/** How many versions the sidebar shows at first; a model's tab has them all. */
const N_VERSIONS = 25;

export namespace ModelRegistry {
  export interface IOptions {
    serverSettings: ServerConnection.ISettings;
    trans: TranslationBundle;
  }
}

/** What the sidebar shows, kept up to date by the server's events. */
export class ModelRegistry extends VDomModel implements IModelRegistry {
  constructor(private readonly _options: ModelRegistry.IOptions) {
    super();
    this._api = this._createApi('');
  }

  project: IProject | null = null;
  problem: IProblem | null = null;
  readonly models = this._createListing(query =>
    this._api.listModels({ ...query, search: this._search })
  );
  readonly endpoints = this._createListing(() => this._api.listEndpoints());

  get search(): string {
    return this._search;
  }

  set search(value: string) {
    if (value !== this._search) {
      this._search = value;
      this.models.clear();
      void this.models.reload();
    }
  }

  versions(model: string): IListing<IModelVersion> | null {
    return this._versions.get(model) ?? null;
  }

  toggle(model: string): void {
    if (this._versions.delete(model)) {
      this.stateChanged.emit();
      return;
    }
    const versions = this._createListing(
      query => this._api.listVersions(model, query),
      N_VERSIONS
    );
    this._versions.set(model, versions);
    void versions.reload();
  }

  async follow(path: string): Promise<void> {
    this._path = path;
    if (this._isActive) {
      await this._switchProject();
    } else {
      this._api = this._createApi(path);
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
    const known = this.project?.path;
    await this._switchProject();
    if (this.project && this.project.path === known) {
      await this._reload();
    }
  }

  findCandidates(query: ICandidatesQuery): Promise<ICandidates> {
    return this._createApi(query.notebook).listCandidates(query);
  }

  async setAlias(
    model: string,
    alias: string,
    version: number,
    path = this._path
  ): Promise<void> {
    const api = path === this._path ? this._api : this._createApi(path);
    await api.setAlias(model, alias, { version });
    await this._reload(['models']);
  }

  createDeployment(plan: IDeploymentPlan, notebook?: string): IDeployment {
    const api = notebook === undefined ? this._api : this._createApi(notebook);
    const { trans } = this._options;
    const deployment = new Deployment({ plan, api, trans, explain: this.explain });
    deployment.stateChanged.connect(({ state }) => {
      if (this._isActive && state !== 'running') {
        void this._reload();
      }
    });
    return deployment;
  }

  getEndpoint(name: string): Promise<IEndpointDetail> {
    return this._api.getEndpoint(name);
  }

  predict(endpoint: string, payload: string): Promise<unknown> {
    return this._api.predict(endpoint, payload);
  }

  async stop(endpoint: string): Promise<void> {
    await this._api.deleteEndpoint(endpoint);
    await this._reload(['endpoints']);
  }

  createEndpoint(name: string, path = this._path): IEndpointModel {
    return new EndpointModel({ ...this._options, name, path });
  }

  createVersions(model: string, path = this._path): IVersionsModel {
    return new VersionsModel({ ...this._options, model, path });
  }

  createVersion(name: string, version: number, path = this._path): IVersionModel {
    return new VersionModel({ ...this._options, name, version, path });
  }

  readonly explain = (error: unknown): IProblem =>
    toProblem(error, this._options.trans);

  override dispose(): void {
    this.pause();
    super.dispose();
  }

  /** Ask which project the path is in; read it when it is another one. */
  private async _switchProject(): Promise<void> {
    const path = this._path;
    const api = this._createApi(path);
    try {
      const project = await api.getProject();
      if (path !== this._path) {
        return;
      }
      const isOther = project.path !== this.project?.path;
      this._api = api;
      this.project = project;
      this.problem = null;
      if (isOther) {
        this._clear();
      }
      if (this._isActive && !this._events) {
        this._events = api.listen(
          topics => void this._reload(topics),
          () => void this.refresh()
        );
      }
      this.stateChanged.emit();
      if (isOther) {
        await this._reload();
      }
    } catch (error) {
      if (path === this._path) {
        this.problem = this.explain(error);
        this.stateChanged.emit();
      }
    }
  }

  private async _reload(
    topics: readonly Topic[] = ['models', 'endpoints']
  ): Promise<void> {
    const listings: IListing<unknown>[] = [];
    if (topics.includes('models')) {
      listings.push(this.models, ...this._versions.values());
    }
    if (topics.includes('endpoints')) {
      listings.push(this.endpoints);
    }
    await Promise.all(listings.map(listing => listing.reload()));
  }

  /** Drop what belongs to the project that was in view. */
  private _clear(): void {
    this._events?.dispose();
    this._events = null;
    this._search = '';
    this._versions.clear();
    this.models.clear();
    this.endpoints.clear();
  }

  private _createApi(path: string): Api {
    return createApi({ serverSettings: this._options.serverSettings, path });
  }

  private _createListing<T>(
    read: (query: IPageQuery) => Promise<IPage<T>>,
    pageSize?: number
  ): Listing<T> {
    const onChanged = () => this.stateChanged.emit();
    const explain = (error: unknown) => this.explain(error);
    return new Listing({ read, explain, onChanged, pageSize });
  }

  private readonly _versions = new Map<string, Listing<IModelVersion>>();
  private _path = '';
  private _api: Api;
  private _search = '';
  private _events: IDisposable | null = null;
  private _isActive = false;
}
