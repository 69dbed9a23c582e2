import type { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { VDomModel } from '@jupyterlab/ui-components';
import type { IDisposable } from '@lumino/disposable';

import { type Api, createApi } from './api';
import { Listing } from './listing';
import { toProblem } from './request';
import type {
  IComparison,
  IEndpoint,
  IModelVersion,
  IProblem,
  IRegisteredModel,
  IVersionsModel,
  Topic
} from './tokens';

const PAGE_SIZE = 200;

export namespace VersionsModel {
  export interface IOptions {
    serverSettings: ServerConnection.ISettings;
    path: string;
    model: string;
    trans: TranslationBundle;
  }
}

/** All versions of a registered model, read page after page so that they can be sorted. */
export class VersionsModel extends VDomModel implements IVersionsModel {
  constructor(private readonly _options: VersionsModel.IOptions) {
    super();
    this.name = _options.model;
    this.path = _options.path;
    this._api = createApi(_options);
    this.versions = new Listing<IModelVersion>({
      read: query => this._api.listVersions(this.name, query),
      explain: this._explain,
      onChanged: () => this._emit(),
      pageSize: PAGE_SIZE
    });
  }

  readonly name: string;
  readonly path: string;
  readonly versions: Listing<IModelVersion>;
  model: IRegisteredModel | null = null;
  endpoints: readonly IEndpoint[] = [];
  selected: readonly number[] = [];
  comparison: IComparison | null = null;
  problem: IProblem | null = null;

  resume(): void {
    if (!this._events && !this.isDisposed) {
      this._events = this._api.listen(
        topics => void this._read(topics),
        () => void this.refresh()
      );
      void this.refresh();
    }
  }

  pause(): void {
    this._events?.dispose();
    this._events = null;
  }

  refresh(): Promise<void> {
    return this._read(['models', 'endpoints']);
  }

  select(version: number, isSelected: boolean): void {
    const others = this.selected.filter(each => each !== version);
    this.selected = isSelected ? [...others, version].slice(-2) : others;
    this.endComparison();
  }

  async compare(): Promise<void> {
    const asked = ++this._nComparisons;
    this.problem = null;
    try {
      const [a, b] = [...this.selected].sort((one, other) => one - other);
      const comparison = await this._api.compareRuns(this._runOf(a), this._runOf(b));
      if (asked === this._nComparisons) {
        this.comparison = comparison;
      }
    } catch (error) {
      if (asked === this._nComparisons) {
        this.problem = this._explain(error);
      }
    }
    this._emit();
  }

  endComparison(): void {
    this._nComparisons += 1;
    this.comparison = this.problem = null;
    this._emit();
  }

  override dispose(): void {
    this.pause();
    super.dispose();
  }

  private _runOf(number: number | undefined): string {
    const found = this.versions.items.find(({ version }) => version === number);
    if (!found?.run_id) {
      const { trans } = this._options;
      throw new Error(trans.__('Version %1 has no run to compare.', number));
    }
    return found.run_id;
  }

  private async _read(topics: readonly Topic[]): Promise<void> {
    const reads: Promise<void>[] = [];
    if (topics.includes('models')) {
      reads.push(this._readModel(), this._readVersions());
    }
    if (topics.includes('endpoints')) {
      reads.push(this._readEndpoints());
    }
    await Promise.all(reads);
  }

  private async _readModel(): Promise<void> {
    try {
      this.model = await this._api.getModel(this.name);
      this._emit();
    } catch {
      // The versions, which are read too, say why.
    }
  }

  private async _readVersions(): Promise<void> {
    const read = ++this._nReads;
    await this.versions.reload();
    while (this._events && read === this._nReads) {
      if (!this.versions.hasMore || this.versions.problem) {
        return;
      }
      await this.versions.loadMore();
    }
  }

  private async _readEndpoints(): Promise<void> {
    try {
      const { items } = await this._api.listEndpoints();
      this.endpoints = items.filter(({ model }) => model === this.name);
      this._emit();
    } catch {
      // The sidebar says why; the versions can be read all the same.
    }
  }

  private readonly _explain = (error: unknown): IProblem =>
    toProblem(error, this._options.trans);

  private _emit(): void {
    if (!this.isDisposed) {
      this.stateChanged.emit();
    }
  }

  private readonly _api: Api;
  private _events: IDisposable | null = null;
  private _nReads = 0;
  private _nComparisons = 0;
}
