import { useState } from 'react';

import type { IStoredFile, IVersionDetail } from '../../tokens';
import { useTrans } from '../trans';

const N_ROWS = 5;
const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** The files of a model with their sizes. */
export function Files({ files }: { files: readonly IStoredFile[] }) {
  const trans = useTrans();
  return (
    <div
      className="nbmlops-Version-scroll"
      tabIndex={0}
      role="group"
      aria-label={trans.__('Files')}
    >
      <table className="nbmlops-Table">
        <thead>
          <tr>
            <th scope="col">{trans.__('File')}</th>
            <th scope="col">{trans.__('Size')}</th>
          </tr>
        </thead>
        <tbody>
          {files.map(({ path, size_bytes }) => (
            <tr key={path}>
              <th scope="row">{path}</th>
              <td>{toSize(size_bytes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The images among the artifacts of the run. */
export function Figures(props: {
  figures: readonly IStoredFile[];
  toUrl: (file: string) => string;
}) {
  return (
    <div className="nbmlops-Figures">
      {props.figures.map(({ path }) => (
        <Figure key={path} path={path} url={props.toUrl(path)} />
      ))}
    </div>
  );
}

function Figure({ path, url }: { path: string; url: string }) {
  const trans = useTrans();
  const [isBroken, setBroken] = useState(false);
  return (
    <figure>
      {isBroken ? (
        <p className="nbmlops-Fine">{trans.__('This image cannot be shown.')}</p>
      ) : (
        <img src={url} alt={path} loading="lazy" onError={() => setBroken(true)} />
      )}
      <figcaption className="nbmlops-Fine">{path}</figcaption>
    </figure>
  );
}

/** The first rows that were stored with the model. */
export function Example({ example }: { example: IVersionDetail['example'] }) {
  const trans = useTrans();
  const { columns, data } = (example ?? {}) as {
    columns?: unknown[];
    data?: unknown[][];
  };
  return (
    <div
      className="nbmlops-Version-scroll"
      tabIndex={0}
      role="group"
      aria-label={trans.__('Input example')}
    >
      <table className="nbmlops-Table">
        <thead>
          <tr>
            {columns?.map((name, index) => (
              <th key={index} scope="col">
                {toText(name)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {data?.slice(0, N_ROWS).map((row, index) => (
            <tr key={index}>
              {row.map((value, place) => (
                <td key={place}>{toText(value)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function toText(value: unknown): string {
  if (value === null || value === undefined) {
    return '–';
  }
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Return a size in three digits. */
export function toSize(size_bytes: number): string {
  const power = Math.min(
    Math.floor(Math.log10(Math.max(size_bytes, 1)) / 3),
    UNITS.length - 1
  );
  return `${Number((size_bytes / 1000 ** power).toPrecision(3))} ${UNITS[power] ?? ''}`;
}
