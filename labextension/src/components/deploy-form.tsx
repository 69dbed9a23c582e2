import { type FocusEvent, type ReactNode, useState } from 'react';

import { DialogButton } from './buttons';
import { Field } from './field';
import { useTrans } from './trans';

export interface IDeployChoice {
  model: string;
  alias: string;
}

const INPUT = {
  className: 'jp-mod-styled',
  spellCheck: false,
  onFocus: (event: FocusEvent<HTMLInputElement>) => event.target.select()
};

/** Asks for the registered model's name, unless it is fixed, and the alias. */
export function DeployForm(props: {
  summary: ReactNode;
  choice: IDeployChoice;
  isModelFixed: boolean;
  submitLabel: string;
  onSubmit: (choice: IDeployChoice) => void;
  onCancel: () => void;
}) {
  const { summary, isModelFixed, submitLabel, onSubmit, onCancel } = props;
  const trans = useTrans();
  const [model, setModel] = useState(props.choice.model);
  const [alias, setAlias] = useState(props.choice.alias);
  return (
    <form
      className="nbmlops-Stack"
      onSubmit={event => {
        event.preventDefault();
        onSubmit({ model: model.trim(), alias: alias.trim() });
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
      <div className="jp-Dialog-footerButtons">
        <DialogButton className="jp-mod-reject" onClick={onCancel}>
          {trans.__('Cancel')}
        </DialogButton>
        <DialogButton className="jp-mod-accept" type="submit">
          {submitLabel}
        </DialogButton>
      </div>
    </form>
  );
}
