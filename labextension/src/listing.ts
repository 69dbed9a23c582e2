import type { IPageQuery } from './api';
import type { IListing, IPage, IProblem } from './tokens';

const PAGE_SIZE = 100;
const LARGEST_PAGE = 200;

export namespace Listing {
  export interface IOptions<T> {
    read: (query: IPageQuery) => Promise<IPage<T>>;
    explain: (error: unknown) => IProblem;
    onChanged: () => void;
    pageSize?: number;
  }
}

/** A list read page by page; of two overlapping readings the later one counts. */
export class Listing<T> implements IListing<T> {
  constructor(private readonly _options: Listing.IOptions<T>) {
    this._pageSize = _options.pageSize ?? PAGE_SIZE;
    this._wanted = this._pageSize;
  }

  items: readonly T[] = [];
  isLoading = false;
  isLoaded = false;
  problem: IProblem | null = null;

  get hasMore(): boolean {
    return this._token !== null;
  }

  /** Read again as many items as are shown. */
  reload(): Promise<void> {
    return this._read([], null);
  }

  /** Read the next page. */
  loadMore(): Promise<void> {
    this._wanted = this.items.length + this._pageSize;
    return this._read(this.items, this._token);
  }

  /** Forget all items, and drop requests that are running. */
  clear(): void {
    this._nRequests += 1;
    this.items = [];
    this._token = null;
    this._wanted = this._pageSize;
    this.isLoading = this.isLoaded = false;
    this.problem = null;
  }

  private async _read(items: readonly T[], token: string | null): Promise<void> {
    const request = ++this._nRequests;
    this.isLoading = true;
    this._options.onChanged();
    let problem: IProblem | null = null;
    try {
      do {
        const limit = Math.min(this._wanted - items.length, LARGEST_PAGE);
        const page = await this._options.read({ limit, page_token: token });
        items = [...items, ...page.items];
        token = page.next_page_token;
      } while (
        token !== null &&
        items.length < this._wanted &&
        request === this._nRequests
      );
    } catch (error) {
      problem = this._options.explain(error);
    }
    if (request !== this._nRequests) {
      return;
    }
    if (!problem) {
      this.items = items;
      this._token = token;
      this.isLoaded = true;
    }
    this.problem = problem;
    this.isLoading = false;
    this._options.onChanged();
  }

  private _token: string | null = null;
  private readonly _pageSize: number;
  private _wanted: number;
  private _nRequests = 0;
}
