import { type ReactNode, useId } from 'react';

/** What a control needs to belong to its label and notes. */
export interface IControlProps {
  id: string;
  'aria-invalid'?: boolean;
  'aria-describedby'?: string;
}

/** A labelled control of a form, with help and what is wrong with its value. */
export function Field(props: {
  label: ReactNode;
  help?: string;
  problem?: string;
  children: (control: IControlProps) => ReactNode;
}) {
  const { label, help, problem, children } = props;
  const id = useId();
  const notes = [help && `${id}help`, problem && `${id}problem`].filter(Boolean);
  return (
    <div className="nbmlops-Field">
      <label htmlFor={id}>{label}</label>
      {children({
        id,
        'aria-invalid': problem !== undefined,
        'aria-describedby': notes.join(' ') || undefined
      })}
      {help && (
        <p id={`${id}help`} className="nbmlops-Fine">
          {help}
        </p>
      )}
      {problem && (
        <p id={`${id}problem`} className="nbmlops-Field-problem" role="alert">
          {problem}
        </p>
      )}
    </div>
  );
}
