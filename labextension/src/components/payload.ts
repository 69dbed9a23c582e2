import type { IEndpointDetail } from '../tokens';

const MOST_FIELDS = 40;
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

type IColumns = IEndpointDetail['columns'];

/** Rows as pandas splits a frame. */
interface IFrame {
  columns?: unknown[];
  data?: unknown[][];
}

/** Return the first row of an example as MLflow's scoring protocol has it. */
export function toPayload(example: IEndpointDetail['example']): string {
  const { columns = [], data = [[]] }: IFrame = example ?? {};
  return write(
    columns,
    (data[0] ?? []).map(value => JSON.stringify(value))
  );
}

/** Whether a field for each column makes a row: few, with the names of the example. */
export function hasFields(
  example: IEndpointDetail['example'],
  columns: IColumns
): boolean {
  const { columns: names = [] }: IFrame = example ?? {};
  return (
    columns.length > 0 &&
    columns.length <= MOST_FIELDS &&
    columns.length === names.length &&
    columns.every(({ name }, n) => name === names[n])
  );
}

/** Return the first row of an example as texts, empty for a gap. */
export function toTexts(example: IEndpointDetail['example']): string[] {
  const { data = [[]] }: IFrame = example ?? {};
  return (data[0] ?? []).map(value =>
    value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value)
  );
}

/** Return a row of texts as MLflow's scoring protocol has it; numbers keep all digits. */
export function fromTexts(columns: IColumns, texts: readonly string[]): string {
  return write(
    columns.map(({ name }) => name),
    columns.map(({ type }, n) => {
      const text = texts[n] ?? '';
      if (text === '') {
        return 'null';
      }
      const isText = type === 'string' || type === 'datetime';
      const isPlain = NUMBER.test(text) || text === 'true' || text === 'false';
      return isPlain && !isText ? text : JSON.stringify(text);
    })
  );
}

function write(columns: readonly unknown[], values: readonly string[]): string {
  return [
    '{"dataframe_split": {',
    `  "columns": [${columns.map(name => JSON.stringify(name)).join(', ')}],`,
    `  "data": [[${values.join(', ')}]]`,
    '}}'
  ].join('\n');
}
