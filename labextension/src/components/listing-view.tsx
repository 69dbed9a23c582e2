import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactNode } from 'react';

import type { IListing } from '../tokens';
import { ProblemNotice } from './problem-notice';

/** A listing in whichever state it is: loading, failed, empty, or so far. */
export function ListingView<T>(props: {
  listing: IListing<T>;
  label: string;
  empty: ReactNode;
  children: (item: T) => ReactNode;
  trans: TranslationBundle;
}) {
  const { listing, label, empty, children, trans } = props;
  const { items, isLoaded, isLoading, problem } = listing;
  return (
    <div aria-busy={isLoading}>
      {problem && (
        <ProblemNotice
          problem={problem}
          trans={trans}
          onRetry={() => void listing.reload()}
        />
      )}
      {items.length > 0 && (
        <ul className="nbmlops-List" aria-label={label}>
          {items.map(children)}
        </ul>
      )}
      {isLoaded && items.length === 0 && !problem && (
        <div className="nbmlops-Empty">{empty}</div>
      )}
      {!isLoaded && isLoading && (
        <p className="nbmlops-Empty" role="status">
          {trans.__('Loading…')}
        </p>
      )}
      {listing.hasMore && (
        <button
          type="button"
          className="jp-mod-styled nbmlops-Small nbmlops-More"
          aria-disabled={isLoading}
          onClick={() => !isLoading && void listing.loadMore()}
        >
          {isLoading ? trans.__('Loading…') : trans.__('Load more')}
        </button>
      )}
    </div>
  );
}
