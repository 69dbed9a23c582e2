import type { ILineageNode, IVersionDetail } from '../../tokens';
import { useTrans } from '../trans';

const BOX = { width: 190, height: 58 };
const GAP = { x: 44, y: 14 };
const MARGIN = 2;
const COLUMNS: ILineageNode['kind'][][] = [
  ['data', 'notebook'],
  ['run'],
  ['version'],
  ['endpoint']
];

export interface ILineageActions {
  /** Open the notebook where it is now. */
  onOpenNotebook: (path: string) => void;
  /** Open the code of the run as it was. */
  onOpenExecuted: () => void;
  onOpenEndpoint: (name: string) => void;
}

/** What a version comes from and goes to, in columns; what can be followed is a button. */
export function LineageGraph(props: { detail: IVersionDetail } & ILineageActions) {
  const { nodes, edges, version } = props.detail;
  const trans = useTrans();
  const columns = COLUMNS.map(kinds =>
    nodes.filter(({ kind }) => kinds.includes(kind))
  ).filter(column => column.length > 0);
  const places = new Map(
    columns.flatMap((column, x) =>
      column.map(({ id }, y): [string, IPlace] => [id, toPlace(x, y)])
    )
  );
  const width = toPlace(columns.length - 1, 0).left + BOX.width + MARGIN;
  const rows = Math.max(...columns.map(({ length }) => length));
  const height = toPlace(0, rows - 1).top + BOX.height + MARGIN;
  return (
    <div
      className="nbmlops-Version-scroll"
      tabIndex={0}
      role="group"
      aria-label={trans.__('Lineage of %1 version %2', version.model, version.version)}
    >
      <div className="nbmlops-Graph" style={{ width, height }}>
        <svg width={width} height={height} aria-hidden="true">
          {edges.map(({ first, second }) => (
            <path
              key={`${first} ${second}`}
              d={toLine(places.get(first), places.get(second))}
            />
          ))}
        </svg>
        <ol>
          {columns.flat().map(node => (
            <li key={node.id} style={{ ...places.get(node.id), ...BOX }}>
              <Node node={node} {...props} />
            </li>
          ))}
        </ol>
      </div>
    </div>
  );
}

function Node(props: { node: ILineageNode; detail: IVersionDetail } & ILineageActions) {
  const { node, detail } = props;
  const { kind, name, title, detail: fine } = node;
  const trans = useTrans();
  const words: Record<ILineageNode['kind'], string> = {
    data: trans.__('Data'),
    notebook: name.endsWith('.ipynb') ? trans.__('Notebook') : trans.__('Script'),
    run: trans.__('Run'),
    version: trans.__('Version'),
    endpoint: trans.__('Endpoint')
  };
  const { notebook, has_notebook } = detail;
  const follow = {
    data: null,
    notebook: notebook === null ? null : () => props.onOpenNotebook(notebook),
    run: has_notebook ? props.onOpenExecuted : null,
    version: null,
    endpoint: () => props.onOpenEndpoint(name)
  }[kind];
  const content = (
    <>
      <span className="nbmlops-Fine">{words[kind]}</span>
      <span className="nbmlops-Name nbmlops-Ellipsis">{title}</span>
      <span className="nbmlops-Fine nbmlops-Ellipsis">{fine}</span>
    </>
  );
  const hint = [name, fine].filter(Boolean).join('\n');
  if (!follow) {
    return (
      <div
        className="nbmlops-LineageBox"
        aria-current={kind === 'version' ? true : undefined}
        title={hint}
      >
        {content}
      </div>
    );
  }
  // Begins with what is to be seen: who speaks to the page says that.
  const shown = [words[kind], title, fine].filter(Boolean).join(' ');
  const label =
    kind === 'run'
      ? trans.__('%1: open the notebook as it was', shown)
      : trans.__('%1: open', shown);
  return (
    <button
      type="button"
      className="nbmlops-LineageBox"
      aria-label={label}
      title={hint}
      onClick={follow}
    >
      {content}
    </button>
  );
}

interface IPlace {
  left: number;
  top: number;
}

function toPlace(x: number, y: number): IPlace {
  return {
    left: MARGIN + x * (BOX.width + GAP.x),
    top: MARGIN + y * (BOX.height + GAP.y)
  };
}

/** Return the path of a curved arrow from one box to another. */
function toLine(from?: IPlace, to?: IPlace): string {
  if (!from || !to) {
    return '';
  }
  const [x, y] = [from.left + BOX.width, from.top + BOX.height / 2];
  const [to_x, to_y] = [to.left - 2, to.top + BOX.height / 2];
  const bend = GAP.x / 2;
  return (
    `M${x},${y} C${x + bend},${y} ${to_x - bend},${to_y} ${to_x},${to_y} ` +
    `m-6,-5 l6,5 l-6,5`
  );
}
