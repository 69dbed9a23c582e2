import type { TranslationBundle } from '@jupyterlab/translation';
import { type FormEvent, type ReactNode, useId, useState } from 'react';

export interface IDeployChoice {
  model: string;
  alias: string;
}

/** Asks for the registered model's name, unless it is fixed, and the alias. */
export function DeployForm(props: {
  summary: ReactNode;
  choice: IDeployChoice;
  isModelFixed: boolean;
  submitLabel: string;
  onSubmit: (choice: IDeployChoice) => void;
  onCancel: () => void;
  trans: TranslationBundle;
}) {
  const { summary, isModelFixed, submitLabel, onSubmit, onCancel, trans } = props;
  const [model, setModel] = useState(props.choice.model);
  const [alias, setAlias] = useState(props.choice.alias);
  const id = useId();
  return (
    <form
      className="nbmlops-Form"
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        onSubmit({ model: model.trim(), alias: alias.trim() });
      }}
    >
      {summary}
      {!isModelFixed && (
        <>
          <label htmlFor={`${id}model`}>{trans.__('Registered model')}</label>
          <input
            id={`${id}model`}
            className="jp-mod-styled"
            value={model}
            required
            pattern=".*\S.*"
            autoFocus
            spellCheck={false}
            onFocus={event => event.target.select()}
            aria-describedby={`${id}model-help`}
            onChange={event => setModel(event.target.value)}
          />
          <p id={`${id}model-help`} className="nbmlops-Help">
            {trans.__(
              'A new version of it is registered, and its endpoint has its name.'
            )}
          </p>
        </>
      )}
      <label htmlFor={`${id}alias`}>{trans.__('Alias')}</label>
      <input
        id={`${id}alias`}
        className="jp-mod-styled"
        value={alias}
        autoFocus={isModelFixed}
        spellCheck={false}
        onFocus={event => event.target.select()}
        aria-describedby={`${id}alias-help`}
        onChange={event => setAlias(event.target.value)}
      />
      <p id={`${id}alias-help`} className="nbmlops-Help">
        {trans.__('Moves to this version. Leave it empty to deploy by version number.')}
      </p>
      <div className="nbmlops-Actions nbmlops-mod-end">
        <button
          type="button"
          className="jp-mod-styled jp-mod-reject"
          onClick={onCancel}
        >
          {trans.__('Cancel')}
        </button>
        <button type="submit" className="jp-mod-styled jp-mod-accept">
          {submitLabel}
        </button>
      </div>
    </form>
  );
}
