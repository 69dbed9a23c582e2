import { type FocusEvent, type ReactNode, useEffect, useState } from 'react';

import { DialogButton } from './buttons';
import { Field } from './field';
import { useTrans } from './trans';

export interface IDeployChoice {
  model: string;
  alias: string;
}

const FIRST_PERCENT = 10;

const INPUT = {
  className: 'jp-mod-styled',
  spellCheck: false,
  onFocus: (event: FocusEvent<HTMLInputElement>) => event.target.select()
};

/** Asks for the registered model's name, unless it is fixed, the alias, and a canary. */
export function DeployForm(props: {
  summary: ReactNode;
  choice: IDeployChoice;
  isModelFixed: boolean;
  /** The endpoint that could have the version as its canary. */
  endpoint?: string | null;
  onChange?: (choice: IDeployChoice) => void;
  /** ``share`` is a canary's, 0 to 1. */
  onSubmit: (choice: IDeployChoice, share?: number) => void;
  onCancel: () => void;
}) {
  const { summary, isModelFixed, endpoint, onChange, onSubmit, onCancel } = props;
  const trans = useTrans();
  const [model, setModel] = useState(props.choice.model);
  const [alias, setAlias] = useState(props.choice.alias);
  const [percent, setPercent] = useState<number | null>(null);
  const canary = endpoint ? percent : null;
  const choice = { model: model.trim(), alias: alias.trim() };
  useEffect(() => onChange?.(choice), [choice.model, choice.alias]);
  return (
    <form
      className="nbmlops-Stack"
      onSubmit={event => {
        event.preventDefault();
        onSubmit(choice, canary === null ? undefined : canary / 100);
      }}
    >
      {summary}
      {!isModelFixed && (
        <Field
          label={trans.__('Registered model')}
          help={trans.__(
            'A new version of it is registered, and its endpoint has its name.'
          )}
        >
          {control => (
            <input
              {...INPUT}
              {...control}
              value={model}
              required
              pattern=".*\S.*"
              autoFocus
              onChange={event => setModel(event.target.value)}
            />
          )}
        </Field>
      )}
      <Field
        label={trans.__('Alias')}
        help={trans.__(
          'Moves to this version. Leave it empty to deploy by version number.'
        )}
      >
        {control => (
          <input
            {...INPUT}
            {...control}
            value={alias}
            autoFocus={isModelFixed}
            onChange={event => setAlias(event.target.value)}
          />
        )}
      </Field>
      {endpoint && (
        <div className="nbmlops-Line">
          <label>
            <input
              type="checkbox"
              checked={canary !== null}
              onChange={event =>
                setPercent(event.target.checked ? FIRST_PERCENT : null)
              }
            />{' '}
            {trans.__('As a canary of %1 first; the alias stays', endpoint)}
          </label>
          {canary !== null && (
            <label>
              <input
                type="number"
                className="jp-mod-styled nbmlops-Number"
                min={1}
                max={99}
                required
                value={Number.isNaN(canary) ? '' : canary}
                onChange={event => setPercent(event.target.valueAsNumber)}
              />{' '}
              {trans.__('% of the requests')}
            </label>
          )}
        </div>
      )}
      <div className="jp-Dialog-footerButtons">
        <DialogButton className="jp-mod-reject" onClick={onCancel}>
          {trans.__('Cancel')}
        </DialogButton>
        <DialogButton className="jp-mod-accept" type="submit">
          {isModelFixed
            ? trans.__('Deploy')
            : canary === null
              ? trans.__('Register and deploy')
              : trans.__('Register as canary')}
        </DialogButton>
      </div>
    </form>
  );
}
