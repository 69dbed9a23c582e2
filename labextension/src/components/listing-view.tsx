import type { ReactNode } from 'react';

import type { IListing } from '../tokens';
import { SmallButton } from './buttons';
import { ProblemNotice } from './problem-notice';
import { useTrans } from './trans';

/** A listing that is loading, failed, empty, or read so far. */
export function ListingView<T>(props: {
  listing: IListing<T>;
  label: string;
  /** What to say when there is nothing, a paragraph each. */
  empty: string[];
  children: (item: T) => ReactNode;
}) {
  const { listing, label, empty, children } = props;
  const { items, isLoaded, isLoading, problem } = listing;
  const trans = useTrans();
  return (
    <div aria-busy={isLoading}>
      {problem && (
        <ProblemNotice problem={problem} onRetry={() => void listing.reload()} />
      )}
      {items.length > 0 && (
        <ul className="nbmlops-List" aria-label={label}>
          {items.map(children)}
        </ul>
      )}
      {isLoaded && items.length === 0 && !problem && (
        <div className="nbmlops-Stack nbmlops-Empty">
          {empty.map(text => (
            <p key={text}>{text}</p>
          ))}
        </div>
      )}
      {!isLoaded && isLoading && (
        <p className="nbmlops-Empty" role="status">
          {trans.__('Loading…')}
        </p>
      )}
      {listing.hasMore && (
        <SmallButton
          className="nbmlops-More"
          aria-disabled={isLoading}
          onClick={() => !isLoading && void listing.loadMore()}
        >
          {isLoading ? trans.__('Loading…') : trans.__('Load more')}
        </SmallButton>
      )}
    </div>
  );
}
