import { useEffect, useId, useState } from 'react';

import type { IEndpointDetail, IProblem } from '../tokens';
import { DialogButton, LinkButton } from './buttons';
import { Field } from './field';
import { fromTexts, hasFields, toPayload, toTexts } from './payload';
import { ProblemNotice } from './problem-notice';
import { useTrans } from './trans';

const LINE_LENGTH = 56;
const MOST_LINES = 12;

/** A row to try, the answer to it, or what was wrong with it. */
export function PredictForm(props: {
  example: IEndpointDetail['example'];
  /** Those of the signature: with them, the row is a form where it can be one. */
  columns?: IEndpointDetail['columns'];
  /** The version that answers; the answer of another one is not shown. */
  version?: number;
  onPredict: (payload: string) => Promise<unknown>;
  explain: (error: unknown) => IProblem;
}) {
  const { example, columns = [], version, onPredict, explain } = props;
  const canBeForm = hasFields(example, columns);
  const [isForm, setForm] = useState(canBeForm);
  const [texts, setTexts] = useState(() => toTexts(example));
  const trans = useTrans();
  const [payload, setPayload] = useState(() => toPayload(example));
  const [answer, setAnswer] = useState<string | null>(null);
  const [problem, setProblem] = useState<IProblem | null>(null);
  const [isBusy, setBusy] = useState(false);
  const id = useId();
  useEffect(() => setAnswer(null), [version]);
  const predict = async () => {
    if (isBusy) {
      return;
    }
    setBusy(true);
    setAnswer(null);
    setProblem(null);
    try {
      const sent = isForm ? fromTexts(columns, texts) : payload;
      JSON.parse(sent);
      setAnswer(toText(await onPredict(sent)));
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
      {isForm ? (
        <div className="nbmlops-Row-fields">
          {columns.map(({ name, type, is_required }, n) => (
            <Field
              key={name}
              label={
                <>
                  {name} <code className="nbmlops-Fine">{type}</code>
                </>
              }
            >
              {control => (
                <input
                  {...control}
                  className="jp-mod-styled"
                  type="text"
                  value={texts[n] ?? ''}
                  placeholder={is_required ? '' : trans.__('none')}
                  spellCheck={false}
                  onChange={event =>
                    setTexts(
                      texts.map((text, at) => (at === n ? event.target.value : text))
                    )
                  }
                />
              )}
            </Field>
          ))}
        </div>
      ) : (
        <>
          <label htmlFor={id}>{trans.__('Row to predict')}</label>
          <textarea
            id={id}
            rows={countLines(payload)}
            spellCheck={false}
            value={payload}
            onChange={event => setPayload(event.target.value)}
          />
        </>
      )}
      <div className="nbmlops-Line">
        <DialogButton
          className="jp-mod-accept"
          type="submit"
          aria-disabled={isBusy}
          autoFocus={columns.length === 0}
        >
          {isBusy ? trans.__('Predicting…') : trans.__('Predict')}
        </DialogButton>
        {canBeForm && (
          <LinkButton
            onClick={() => {
              setPayload(fromTexts(columns, texts));
              setForm(!isForm);
            }}
          >
            {isForm ? trans.__('Edit as JSON') : trans.__('Edit as a form')}
          </LinkButton>
        )}
      </div>
      <div aria-live="polite">
        {answer !== null && (
          <div className="nbmlops-Notice" data-state="done">
            <span>{trans.__('Prediction')}</span>
            <output>{answer}</output>
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

/** Return the predictions one below the other, anything else as JSON. */
function toText(answer: unknown): string {
  const { predictions } = answer as { predictions?: unknown };
  return Array.isArray(predictions)
    ? predictions
        .map(value => (typeof value === 'string' ? value : JSON.stringify(value)))
        .join('\n')
    : JSON.stringify(answer, null, 2);
}
