import type { ICodeDifference } from '../../tokens';
import { useTrans } from '../trans';

/** The cells that are not those of another run, line by line. */
export function CodeDifference({ code }: { code: ICodeDifference }) {
  const { cells, n_equal, note, is_equal } = code;
  const trans = useTrans();
  const words = {
    added: trans.__('only in this version'),
    removed: trans.__('only in the champion'),
    changed: trans.__('changed')
  };
  return (
    <>
      <p role="status">
        {is_equal
          ? trans.__('The code is the same.')
          : trans._n(
              '%1 cell differs, %2 are the same.',
              '%1 cells differ, %2 are the same.',
              cells.length,
              n_equal
            )}{' '}
        {note}
      </p>
      {cells.map(({ change, positions, lines }, index) => {
        const title = trans.__(
          'Cell %1: %2',
          positions[1] ?? positions[0] ?? index + 1,
          words[change]
        );
        return (
          <figure key={index} className="nbmlops-Diff">
            <figcaption>{title}</figcaption>
            <pre tabIndex={0} aria-label={title}>
              {lines.map((line, place) => (
                <span key={place} data-sign={line.slice(0, 1)}>
                  {`${line}\n`}
                </span>
              ))}
            </pre>
          </figure>
        );
      })}
    </>
  );
}
