import type { IPageQuery } from './api';
import type { IListing, IPage, IProblem } from './tokens';

export const PAGE_SIZE = 25;
const LARGEST_PAGE = 200;

export namespace Listing {
  export interface IOptions<T> {
    read: (query: IPageQuery) => Promise<IPage<T>>;
    explain: (error: unknown) => IProblem;
    onChanged: () => void;
  }
}

/** A list read page by page; of two overlapping readings the later one counts. */
export class Listing<T> implements IListing<T> {
  constructor(private readonly _options: Listing.IOptions<T>) {}

  get items(): readonly T[] {
    return this._items;
  }

  get hasMore(): boolean {
    return this._token !== null;
  }

  get isLoading(): boolean {
    return this._isLoading;
  }

  get isLoaded(): boolean {
    return this._isLoaded;
  }

  get problem(): IProblem | null {
    return this._problem;
  }

  /** Read again as many items as are shown. */
  reload(): Promise<void> {
    return this._read([], null);
  }

  /** Read the next page. */
  loadMore(): Promise<void> {
    this._wanted = this._items.length + PAGE_SIZE;
    return this._read(this._items, this._token);
  }

  /** Forget what was read, and whatever is still under way. */
  clear(): void {
    this._turn += 1;
    this._items = [];
    this._token = null;
    this._wanted = PAGE_SIZE;
    this._isLoading = this._isLoaded = false;
    this._problem = null;
  }

  private async _read(items: readonly T[], token: string | null): Promise<void> {
    const turn = ++this._turn;
    this._isLoading = true;
    this._options.onChanged();
    let problem: IProblem | null = null;
    try {
      do {
        const limit = Math.min(this._wanted - items.length, LARGEST_PAGE);
        const page = await this._options.read({ limit, page_token: token });
        items = [...items, ...page.items];
        token = page.next_page_token;
      } while (token !== null && items.length < this._wanted && turn === this._turn);
    } catch (error) {
      problem = this._options.explain(error);
    }
    if (turn !== this._turn) {
      return;
    }
    if (!problem) {
      this._items = items;
      this._token = token;
      this._isLoaded = true;
    }
    this._problem = problem;
    this._isLoading = false;
    this._options.onChanged();
  }

  private _items: readonly T[] = [];
  private _token: string | null = null;
  private _wanted = PAGE_SIZE;
  private _turn = 0;
  private _isLoading = false;
  private _isLoaded = false;
  private _problem: IProblem | null = null;
}
