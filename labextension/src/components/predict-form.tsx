import { useId, useState } from 'react';

import type { IEndpointDetail, IProblem } from '../tokens';
import { DialogButton } from './buttons';
import { ProblemNotice } from './problem-notice';
import { useTrans } from './trans';

const LINE_LENGTH = 56;
const MOST_LINES = 12;

/** Rows as pandas splits a frame. */
interface IFrame {
  columns?: unknown[];
  data?: unknown[][];
}

/** A row to try, the answer to it, or what was wrong with it. */
export function PredictForm(props: {
  example: IEndpointDetail['example'];
  onPredict: (payload: string) => Promise<unknown>;
  explain: (error: unknown) => IProblem;
}) {
  const { example, onPredict, explain } = props;
  const trans = useTrans();
  const [payload, setPayload] = useState(() => toPayload(example));
  const [answer, setAnswer] = useState<string | null>(null);
  const [problem, setProblem] = useState<IProblem | null>(null);
  const [isBusy, setBusy] = useState(false);
  const id = useId();
  const predict = async () => {
    if (isBusy) {
      return;
    }
    setBusy(true);
    setAnswer(null);
    setProblem(null);
    try {
      JSON.parse(payload);
      setAnswer(toText(await onPredict(payload)));
    } catch (error) {
      setProblem(
        error instanceof SyntaxError
          ? {
              problem: trans.__('The row is not JSON: %1.', error.message),
              fix: trans.__(
                'Write it as {"dataframe_split": {"columns": […], "data": [[…]]}}.'
              )
            }
          : explain(error)
      );
    }
    setBusy(false);
  };
  return (
    <form
      className="nbmlops-Stack"
      onSubmit={event => {
        event.preventDefault();
        void predict();
      }}
    >
      <label htmlFor={id}>{trans.__('Row to predict')}</label>
      <textarea
        id={id}
        rows={countLines(payload)}
        spellCheck={false}
        value={payload}
        onChange={event => setPayload(event.target.value)}
      />
      <div>
        <DialogButton
          className="jp-mod-accept"
          type="submit"
          aria-disabled={isBusy}
          autoFocus
        >
          {isBusy ? trans.__('Predicting…') : trans.__('Predict')}
        </DialogButton>
      </div>
      <div aria-live="polite">
        {answer !== null && (
          <div className="nbmlops-Notice" data-state="done">
            <span>{trans.__('Prediction')}</span>
            <output htmlFor={id}>{answer}</output>
          </div>
        )}
      </div>
      {problem && <ProblemNotice problem={problem} />}
    </form>
  );
}

/** Return about how many lines a text takes in the form, up to what fits. */
function countLines(text: string): number {
  const lines = text
    .split('\n')
    .map(line => Math.ceil((line.length + 1) / LINE_LENGTH));
  return Math.min(
    MOST_LINES,
    lines.reduce((sum, n) => sum + n, 0)
  );
}

/** Return the first row of an example as MLflow's scoring protocol has it. */
function toPayload(example: IEndpointDetail['example']): string {
  const { columns = [], data = [[]] }: IFrame = example ?? {};
  const row = (values: readonly unknown[] = []) =>
    `[${values.map(value => JSON.stringify(value)).join(', ')}]`;
  return [
    '{"dataframe_split": {',
    `  "columns": ${row(columns)},`,
    `  "data": [${row(data[0])}]`,
    '}}'
  ].join('\n');
}

/** Return the predictions one below the other, anything else as JSON. */
function toText(answer: unknown): string {
  const { predictions } = answer as { predictions?: unknown };
  return Array.isArray(predictions)
    ? predictions
        .map(value => (typeof value === 'string' ? value : JSON.stringify(value)))
        .join('\n')
    : JSON.stringify(answer, null, 2);
}
