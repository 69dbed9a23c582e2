import type { ReactNode } from 'react';

import type { IComparison } from '../../tokens';
import { SmallButton } from '../buttons';
import { formatMetric } from '../metrics';
import { useTrans } from '../trans';
import { Delta, toDelta } from './delta';

type Rows = [name: string, first: ReactNode, second: ReactNode][];

/** What differs between two versions of a model, the older one first. */
export function VersionComparison(props: {
  comparison: IComparison;
  versions: readonly number[];
  onClose: () => void;
}) {
  const { comparison, onClose } = props;
  const { metrics, params, facts, packages, datasets, code } = comparison;
  const trans = useTrans();
  const heads = [...props.versions].sort((a, b) => a - b);
  const title = trans.__('Version %1 and version %2', ...heads);
  const texts = (items: IComparison['params']['items']): Rows =>
    items.map(({ name, values: [first, second] }) => [name, first, second]);
  const tables: [string, Rows][] = [
    [
      trans.__('Metrics'),
      metrics.map(({ name, mode, histories: [first, second] }) => [
        name,
        first && formatMetric(first.last),
        second && (
          <>
            {formatMetric(second.last)}
            <Delta delta={first ? toDelta(second.last, first.last, mode) : null} />
          </>
        )
      ])
    ],
    [trans.__('Params'), texts(params.items)],
    [
      trans.__('Data'),
      datasets.map(({ name, versions: [first, second] }) => [
        name,
        first?.digest,
        second?.digest
      ])
    ],
    [trans.__('Packages'), texts(packages.items)],
    [trans.__('Also'), texts(facts.items)]
  ];
  const differing = tables.filter(([, rows]) => rows.length > 0);
  return (
    <section className="nbmlops-Comparison" aria-label={title}>
      <div className="nbmlops-Line">
        <h2>{title}</h2>
        <SmallButton className="nbmlops-mod-end" onClick={onClose}>
          {trans.__('Close comparison')}
        </SmallButton>
      </div>
      {differing.length === 0 && <p>{trans.__('Nothing recorded differs.')}</p>}
      <div className="nbmlops-Comparison-tables">
        {differing.map(([label, rows]) => (
          <table key={label} className="nbmlops-EndpointMetrics">
            <thead>
              <tr>
                <th scope="col">{label}</th>
                {heads.map(version => (
                  <th key={version} scope="col">
                    {trans.__('Version %1', version)}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map(([name, first, second]) => (
                <tr key={name}>
                  <th scope="row">{name}</th>
                  <td>{first ?? '–'}</td>
                  <td>{second ?? '–'}</td>
                </tr>
              ))}
            </tbody>
          </table>
        ))}
      </div>
      {code.map(each => (
        <Code key={each.run_id} code={each} />
      ))}
    </section>
  );
}

function Code({ code }: { code: IComparison['code'][number] }) {
  const trans = useTrans();
  if (code.is_equal || code.cells.length === 0) {
    return <p>{code.note || trans.__('The code is the same.')}</p>;
  }
  return (
    <details>
      <summary>
        {trans._n('%1 cell differs', '%1 cells differ', code.cells.length)}
      </summary>
      {code.cells.map((cell, index) => (
        <pre key={index} tabIndex={0}>
          {cell.lines.join('\n')}
        </pre>
      ))}
    </details>
  );
}
