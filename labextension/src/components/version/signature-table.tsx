import type { ISignatureColumn, IVersionDetail } from '../../tokens';
import { formatMetric } from '../metrics';
import { useTrans } from '../trans';

const N_CATEGORIES = 8;

/** The columns that a model takes, and what training saw in each. */
export function SignatureTable(props: {
  columns: IVersionDetail['columns'];
  outputs: IVersionDetail['outputs'];
}) {
  const { columns, outputs } = props;
  const trans = useTrans();
  return (
    <>
      {columns.length > 0 && (
        <div
          className="nbmlops-Version-scroll"
          tabIndex={0}
          role="group"
          aria-label={trans.__('Signature')}
        >
          <table className="nbmlops-Table">
            <thead>
              <tr>
                <th scope="col">{trans.__('Column')}</th>
                <th scope="col">{trans.__('Type')}</th>
                <th scope="col">{trans.__('In training')}</th>
                <th scope="col">{trans.__('May be missing')}</th>
              </tr>
            </thead>
            <tbody>
              {columns.map(column => (
                <tr key={column.name}>
                  <th scope="row">{column.name}</th>
                  <td>{column.type}</td>
                  <td>
                    <Range column={column} />
                  </td>
                  <td>{column.is_required ? trans.__('no') : trans.__('yes')}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {outputs.length > 0 && (
        <p>
          {trans.__('Answers:')}{' '}
          {outputs
            .map(({ name, type }) => (name ? `${name} (${type})` : type))
            .join(', ')}
        </p>
      )}
    </>
  );
}

function Range({ column }: { column: ISignatureColumn }) {
  const { low, high, categories } = column;
  const trans = useTrans();
  if (categories.length > 0) {
    const n_more = categories.length - N_CATEGORIES;
    const shown = categories.slice(0, N_CATEGORIES).join(', ');
    return (
      <span title={categories.join(', ')}>
        {n_more > 0 ? trans.__('%1 and %2 more', shown, n_more) : shown}
      </span>
    );
  }
  return low === null || high === null
    ? '–'
    : trans.__('%1 to %2', formatMetric(low), formatMetric(high));
}
