import { caretDownIcon, caretUpIcon } from '@jupyterlab/ui-components';
import { useVirtualizer } from '@tanstack/react-virtual';
import { useMemo, useRef } from 'react';

import type { IEndpoint, IModelVersion, ITableLayout } from '../../tokens';
import { LinkButton, SmallButton } from '../buttons';
import { useTrans } from '../trans';
import { type IColumn, sorted, toColumns } from './columns';

const ROW_PX = 33;

export interface IVersionsTableProps {
  name: string;
  versions: readonly IModelVersion[];
  endpoints: readonly IEndpoint[];
  champion: IModelVersion | undefined;
  selected: readonly number[];
  layout: ITableLayout;
  onLayout: (layout: ITableLayout) => void;
  onSelect: (version: number, isSelected: boolean) => void;
  onOpen: (version: IModelVersion) => void;
  onDeploy: (version: IModelVersion) => void;
  onSetAlias: (version: IModelVersion) => void;
}

/** Every version of a model, of which only what is in view is in the page. */
export function VersionsTable(props: IVersionsTableProps) {
  const { name, versions, endpoints, champion, layout, onLayout } = props;
  const { sort } = layout;
  const trans = useTrans();
  const columns = useMemo(
    () => toColumns(versions, endpoints, champion, trans),
    [versions, endpoints, champion, trans]
  );
  const shown = columns.filter(({ id, isShown }) => layout.columns[id] ?? isShown);
  const number: IColumn = {
    id: 'version',
    label: trans.__('Version'),
    isShown: true,
    toValue: ({ version }) => version,
    render: ({ version }) => version
  };
  const by = columns.find(({ id }) => id === sort.id) ?? number;
  const ordered = useMemo(
    () => sorted(versions, by.toValue, sort.isDescending),
    [versions, columns, sort]
  );
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: ordered.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    overscan: 10
  });
  const inView = rows.getVirtualItems();
  const before_px = inView[0]?.start ?? 0;
  const after_px = rows.getTotalSize() - (inView.at(-1)?.end ?? 0);
  const sortBy = ({ id, isMetric }: IColumn) =>
    onLayout({
      ...layout,
      sort: { id, isDescending: sort.id === id ? !sort.isDescending : !!isMetric }
    });
  return (
    <>
      <details className="nbmlops-Columns">
        <summary>{trans.__('Columns')}</summary>
        <div className="nbmlops-Line">
          {columns.map(({ id, label, isShown }) => (
            <label key={id} className="nbmlops-Ellipsis">
              <input
                type="checkbox"
                checked={layout.columns[id] ?? isShown}
                onChange={({ target }) =>
                  onLayout({
                    ...layout,
                    columns: { ...layout.columns, [id]: target.checked }
                  })
                }
              />
              {label}
            </label>
          ))}
        </div>
      </details>
      <div className="nbmlops-Scroll" ref={scroller} tabIndex={-1}>
        <table className="nbmlops-Versions-table" aria-rowcount={ordered.length + 1}>
          <caption className="jp-sr-only">{trans.__('Versions of %1', name)}</caption>
          <thead>
            <tr aria-rowindex={1}>
              <th scope="col">
                <span className="jp-sr-only">{trans.__('Compare')}</span>
              </th>
              {[number, ...shown].map(column => (
                <ColumnHead
                  key={column.id}
                  column={column}
                  way={column.id === by.id ? sort.isDescending : null}
                  onSort={sortBy}
                />
              ))}
              <th scope="col">{trans.__('Actions')}</th>
            </tr>
          </thead>
          <tbody>
            <Gap height_px={before_px} n={shown.length + 3} />
            {inView.map(({ index }) => {
              const version = ordered[index] as IModelVersion;
              return (
                <VersionRow
                  {...props}
                  key={version.version}
                  version={version}
                  columns={shown}
                  index={index}
                />
              );
            })}
            <Gap height_px={after_px} n={shown.length + 3} />
          </tbody>
        </table>
      </div>
    </>
  );
}

/** Rows that are out of view. */
function Gap({ height_px, n }: { height_px: number; n: number }) {
  return height_px > 0 ? (
    <tr aria-hidden="true">
      <td colSpan={n} style={{ height: height_px, padding: 0 }} />
    </tr>
  ) : null;
}

function ColumnHead(props: {
  column: IColumn;
  /** True for descending; null when the rows are sorted by another column. */
  way: boolean | null;
  onSort: (column: IColumn) => void;
}) {
  const { column, way, onSort } = props;
  const Caret = way ? caretDownIcon : caretUpIcon;
  return (
    <th
      scope="col"
      aria-sort={way === null ? undefined : way ? 'descending' : 'ascending'}
    >
      <button type="button" className="nbmlops-Sort" onClick={() => onSort(column)}>
        {column.label}
        {way !== null && <Caret.react tag="span" className="nbmlops-Icon" />}
      </button>
    </th>
  );
}

function VersionRow(
  props: IVersionsTableProps & {
    version: IModelVersion;
    columns: IColumn[];
    index: number;
  }
) {
  const { version: row, columns, index, selected } = props;
  const { model, version, description } = row;
  const trans = useTrans();
  const isSelected = selected.includes(version);
  return (
    <tr aria-rowindex={index + 2} aria-selected={isSelected}>
      <td>
        <input
          type="checkbox"
          aria-label={trans.__('Compare version %1', version)}
          checked={isSelected}
          onChange={({ target }) => props.onSelect(version, target.checked)}
        />
      </td>
      <th scope="row">
        <LinkButton
          title={description}
          aria-label={trans.__('Open %1 version %2', model, version)}
          onClick={() => props.onOpen(row)}
        >
          {version}
        </LinkButton>
      </th>
      {columns.map(({ id, render }) => (
        <td key={id} className="nbmlops-Ellipsis">
          {render(row)}
        </td>
      ))}
      <td>
        <span className="nbmlops-Line">
          <SmallButton
            aria-label={trans.__('Deploy %1 version %2', model, version)}
            onClick={() => props.onDeploy(row)}
          >
            {trans.__('Deploy…')}
          </SmallButton>
          <SmallButton
            aria-label={trans.__('Set alias of %1 version %2', model, version)}
            onClick={() => props.onSetAlias(row)}
          >
            {trans.__('Set alias…')}
          </SmallButton>
        </span>
      </td>
    </tr>
  );
}
