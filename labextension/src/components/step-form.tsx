import type { TranslationBundle } from '@jupyterlab/translation';
import { type FormEvent, useId, useState } from 'react';

import type { IParameterField, IStepForm } from '../tokens';

/** Asks for a notebook's parameters; sends those that are not as the notebook has them. */
export function StepFormView(props: {
  notebook: string;
  form: IStepForm;
  /** What the server objects to, by parameter. */
  faults: Record<string, string>;
  onSubmit: (texts: Record<string, string>) => void;
  onCancel: () => void;
  trans: TranslationBundle;
}) {
  const { notebook, form, faults, onSubmit, onCancel, trans } = props;
  const { parameters } = form;
  const [texts, setTexts] = useState<Record<string, string>>(() =>
    Object.fromEntries(parameters.map(field => [field.name, field.default]))
  );
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const changed = parameters.filter(
      ({ name, default: was, is_required }) => texts[name] !== was || is_required
    );
    onSubmit(Object.fromEntries(changed.map(({ name }) => [name, texts[name] ?? ''])));
  };
  return (
    <form className="nbmlops-Form" noValidate onSubmit={submit}>
      <p className="nbmlops-Summary">{notebook}</p>
      {parameters.length === 0 && (
        <p className="nbmlops-Help">
          {form.has_cell
            ? trans.__('Its parameters cell assigns nothing.')
            : trans.__(
                'No cell of it is tagged "parameters": it runs as it is. Add that tag to the cell with the defaults in the property inspector.'
              )}
        </p>
      )}
      {parameters.map((field, n) => (
        <Field
          key={field.name}
          field={field}
          text={texts[field.name] ?? ''}
          fault={faults[field.name]}
          isFirst={n === 0}
          onChange={text => setTexts({ ...texts, [field.name]: text })}
          trans={trans}
        />
      ))}
      <div className="nbmlops-Actions nbmlops-mod-end">
        <button
          type="button"
          className="jp-mod-styled jp-mod-reject"
          onClick={onCancel}
        >
          {trans.__('Cancel')}
        </button>
        <button
          type="submit"
          className="jp-mod-styled jp-mod-accept"
          autoFocus={parameters.length === 0}
        >
          {trans.__('Run')}
        </button>
      </div>
    </form>
  );
}

interface IFieldProps {
  field: IParameterField;
  text: string;
  fault: string | undefined;
  isFirst: boolean;
  onChange: (text: string) => void;
  trans: TranslationBundle;
}

function Field(props: IFieldProps) {
  const { field, fault, trans } = props;
  const id = useId();
  const hint = [field.help, field.is_required ? trans.__('Has to be given.') : '']
    .filter(Boolean)
    .join(' ');
  const describedBy = [hint && `${id}help`, fault && `${id}fault`]
    .filter(Boolean)
    .join(' ');
  return (
    <div className="nbmlops-Field" data-invalid={fault !== undefined}>
      <label htmlFor={id}>
        {field.name} <span className="nbmlops-Field-type">{field.type}</span>
      </label>
      <Control {...props} id={id} describedBy={describedBy} />
      {hint && (
        <p id={`${id}help`} className="nbmlops-Help">
          {hint}
        </p>
      )}
      {fault && (
        <p id={`${id}fault`} className="nbmlops-Field-fault" role="alert">
          {fault}
        </p>
      )}
    </div>
  );
}

function Control(props: IFieldProps & { id: string; describedBy: string }) {
  const { field, text, fault, isFirst, onChange, id, describedBy, trans } = props;
  const common = {
    id,
    autoFocus: isFirst,
    'aria-invalid': fault !== undefined,
    'aria-describedby': describedBy || undefined
  };
  switch (field.kind) {
    case 'checkbox':
      return (
        <input
          {...common}
          type="checkbox"
          checked={text === 'true'}
          onChange={event => onChange(String(event.target.checked))}
        />
      );
    case 'select':
      return (
        <select
          {...common}
          className="jp-mod-styled"
          value={text}
          onChange={event => onChange(event.target.value)}
        >
          {!field.choices.includes(text) && (
            <option value={text}>
              {text || field.default_source || trans.__('Choose…')}
            </option>
          )}
          {field.choices.map(choice => (
            <option key={choice}>{choice}</option>
          ))}
        </select>
      );
    default:
      return (
        <input
          {...common}
          className="jp-mod-styled"
          type="text"
          inputMode={
            field.kind === 'integer'
              ? 'numeric'
              : field.kind === 'number'
                ? 'decimal'
                : undefined
          }
          value={text}
          placeholder={field.default === '' ? field.default_source : undefined}
          required={field.is_required}
          spellCheck={false}
          onChange={event => onChange(event.target.value)}
        />
      );
  }
}
