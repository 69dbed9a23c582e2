import { useVirtualizer } from '@tanstack/react-virtual';
import { type ReactNode, useEffect, useRef } from 'react';

const N_BEYOND = 8;

/** A list of which only what is in view is in the page; its rows may be of any height. */
export function VirtualList<T>(props: {
  items: readonly T[];
  label: string;
  toKey: (item: T) => string;
  /** About how high a row is. */
  height_px: number;
  /** Called when the end comes into view. */
  onEnd?: () => void;
  children: (item: T) => ReactNode;
}) {
  const { items, label, toKey, height_px, onEnd, children } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: items.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => height_px,
    getItemKey: index => toKey(items[index] as T),
    overscan: N_BEYOND
  });
  const shown = rows.getVirtualItems();
  const isAtEnd = (shown.at(-1)?.index ?? -1) + 1 >= items.length - N_BEYOND;
  useEffect(() => {
    if (isAtEnd && items.length > 0) {
      onEnd?.();
    }
  }, [isAtEnd, items.length]);
  return (
    <div className="nbmlops-Scroll" ref={scroller}>
      <ul
        className="nbmlops-List nbmlops-VirtualList"
        aria-label={label}
        style={{ height: rows.getTotalSize() }}
      >
        {shown.map(({ index, key, start }) => (
          <li
            key={key}
            ref={rows.measureElement}
            data-index={index}
            aria-setsize={items.length}
            aria-posinset={index + 1}
            style={{ transform: `translateY(${start}px)` }}
          >
            {children(items[index] as T)}
          </li>
        ))}
      </ul>
    </div>
  );
}
