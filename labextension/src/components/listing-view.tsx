import type { ReactNode } from 'react';

import type { IListing } from '../tokens';
import { SmallButton } from './buttons';
import { ProblemNotice } from './problem-notice';
import { useTrans } from './trans';

interface IListingProps<T> {
  listing: IListing<T>;
  label: string;
  /** What to say when there is nothing, a paragraph each. */
  empty: string[];
}

/** A listing that is loading, failed or empty, above what was read of it. */
export function ListingState<T>(
  props: Omit<IListingProps<T>, 'label'> & { className?: string; children: ReactNode }
) {
  const { listing, empty, className, children } = props;
  const { items, isLoaded, isLoading, problem } = listing;
  const trans = useTrans();
  return (
    <div aria-busy={isLoading} className={className}>
      {problem && (
        <ProblemNotice problem={problem} onRetry={() => void listing.reload()} />
      )}
      {items.length > 0 && children}
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
    </div>
  );
}

/** A listing whose next pages are read on request. */
export function ListingView<T>(
  props: IListingProps<T> & { children: (item: T) => ReactNode }
) {
  const { listing, label, empty, children } = props;
  const { items, isLoading } = listing;
  const trans = useTrans();
  return (
    <ListingState listing={listing} empty={empty}>
      <ul className="nbmlops-List" aria-label={label}>
        {items.map(children)}
      </ul>
      {listing.hasMore && (
        <SmallButton
          className="nbmlops-More"
          aria-disabled={isLoading}
          onClick={() => !isLoading && void listing.loadMore()}
        >
          {isLoading ? trans.__('Loading…') : trans.__('Load more')}
        </SmallButton>
      )}
    </ListingState>
  );
}
