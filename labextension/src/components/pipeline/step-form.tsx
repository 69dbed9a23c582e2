import { useState } from 'react';

import type { IParameterField, IStepForm } from '../../tokens';
import { DialogButton } from '../buttons';
import { Field, type IControlProps } from '../field';
import { useTrans } from '../trans';

/** Asks for a notebook's parameters; sends those changed, and the required ones. */
export function StepFormView(props: {
  notebook: string;
  form: IStepForm;
  /** What the server objects to, by parameter. */
  problems: Record<string, string>;
  onSubmit: (texts: Record<string, string>) => void;
  onCancel: () => void;
}) {
  const { notebook, form, problems, onSubmit, onCancel } = props;
  const { parameters, has_cell } = form;
  const trans = useTrans();
  const [texts, setTexts] = useState<Record<string, string>>(() =>
    Object.fromEntries(parameters.map(field => [field.name, field.default]))
  );
  return (
    <form
      className="nbmlops-Stack"
      noValidate
      onSubmit={event => {
        event.preventDefault();
        const changed = parameters.filter(
          field => texts[field.name] !== field.default || field.is_required
        );
        onSubmit(
          Object.fromEntries(changed.map(({ name }) => [name, texts[name] ?? '']))
        );
      }}
    >
      <p className="nbmlops-Summary">{notebook}</p>
      {parameters.length === 0 && (
        <p className="nbmlops-Fine">
          {has_cell
            ? trans.__('Its parameters cell assigns nothing.')
            : trans.__(
                'No cell of it is tagged "parameters": it runs as it is. Add that tag to the cell with the defaults in the property inspector.'
              )}
        </p>
      )}
      {parameters.map((field, n) => (
        <Field
          key={field.name}
          label={
            <>
              {field.name} <code className="nbmlops-Fine">{field.type}</code>
            </>
          }
          help={[field.help, field.is_required ? trans.__('Has to be given.') : '']
            .filter(Boolean)
            .join(' ')}
          problem={problems[field.name]}
        >
          {control => (
            <Control
              {...control}
              field={field}
              text={texts[field.name] ?? ''}
              autoFocus={n === 0}
              onText={text => setTexts({ ...texts, [field.name]: text })}
            />
          )}
        </Field>
      ))}
      <div className="jp-Dialog-footerButtons">
        <DialogButton className="jp-mod-reject" onClick={onCancel}>
          {trans.__('Cancel')}
        </DialogButton>
        <DialogButton
          className="jp-mod-accept"
          type="submit"
          autoFocus={parameters.length === 0}
        >
          {trans.__('Run')}
        </DialogButton>
      </div>
    </form>
  );
}

const INPUT_MODES: Partial<Record<IParameterField['kind'], 'numeric' | 'decimal'>> = {
  integer: 'numeric',
  number: 'decimal'
};

function Control(
  props: IControlProps & {
    field: IParameterField;
    text: string;
    autoFocus: boolean;
    onText: (text: string) => void;
  }
) {
  const { field, text, onText, ...control } = props;
  const { kind, choices, default_source } = field;
  const trans = useTrans();
  switch (kind) {
    case 'checkbox':
      return (
        <input
          {...control}
          type="checkbox"
          checked={text === 'true'}
          onChange={event => onText(String(event.target.checked))}
        />
      );
    case 'select':
      return (
        <select
          {...control}
          className="jp-mod-styled"
          value={text}
          onChange={event => onText(event.target.value)}
        >
          {!choices.includes(text) && (
            <option value={text}>
              {text || default_source || trans.__('Choose…')}
            </option>
          )}
          {choices.map(choice => (
            <option key={choice}>{choice}</option>
          ))}
        </select>
      );
    default:
      return (
        <input
          {...control}
          className="jp-mod-styled"
          type="text"
          inputMode={INPUT_MODES[kind]}
          value={text}
          placeholder={field.default === '' ? default_source : undefined}
          required={field.is_required}
          spellCheck={false}
          onChange={event => onText(event.target.value)}
        />
      );
  }
}
