import type { TranslationBundle } from '@jupyterlab/translation';

import type { IPipelineStep } from '../tokens';
import { Elapsed, LiveStateMark } from './live-state';
import type { IShownStep, IShownUnit } from './pipeline-state';

export interface IStepActions {
  onOpenNotebook: (step: IPipelineStep) => void;
  onOpenExecuted: (unit: IShownUnit) => void;
  onShowRun: (run_id: string) => void;
  onRunFrom: (step: string) => void;
  onForce: (step: string) => void;
}

/** A step with each of its runs, and what can be done with them. */
export function StepDetails(
  props: {
    shown: IShownStep;
    isRunning: boolean;
    trans: TranslationBundle;
  } & IStepActions
) {
  const { shown, isRunning, trans } = props;
  const { step, units } = shown;
  const title = trans.__('Step %1', step.name);
  return (
    <section className="nbmlops-StepDetails" aria-label={title}>
      <div className="nbmlops-Line">
        <h3>{title}</h3>
        <span className="nbmlops-Fine">
          {trans.__('%1, line %2 of the file', step.does, step.line)}
        </span>
      </div>
      <div className="nbmlops-Actions">
        {step.notebook !== null && (
          <button
            type="button"
            className="jp-mod-styled nbmlops-Small"
            onClick={() => props.onOpenNotebook(step)}
          >
            {trans.__('Open notebook')}
          </button>
        )}
        <button
          type="button"
          className="jp-mod-styled nbmlops-Small"
          disabled={isRunning}
          title={trans.__('Run this step and all behind it, whatever is kept')}
          onClick={() => props.onRunFrom(step.name)}
        >
          {trans.__('Run from here')}
        </button>
        <button
          type="button"
          className="jp-mod-styled nbmlops-Small"
          disabled={isRunning}
          title={trans.__('Run this step whatever is kept, and what changes by it')}
          onClick={() => props.onForce(step.name)}
        >
          {trans.__('Force this step')}
        </button>
      </div>
      <ul className="nbmlops-List" aria-label={trans.__('Runs of %1', step.name)}>
        {units.map(unit => (
          <UnitItem key={unit.name} unit={unit} {...props} />
        ))}
      </ul>
    </section>
  );
}

function UnitItem(
  props: {
    unit: IShownUnit;
    shown: IShownStep;
    trans: TranslationBundle;
  } & IStepActions
) {
  const { unit, shown, trans, onOpenExecuted, onShowRun } = props;
  const { name, state, why, run_id, cells } = unit;
  return (
    <li className="nbmlops-Unit">
      <div className="nbmlops-Line">
        <span className="nbmlops-Unit-name">{name}</span>
        {unit.is_selected && (
          <span className="nbmlops-Chip">{trans.__('selected')}</span>
        )}
        <LiveStateMark state={state} trans={trans} />
        {unit.duration_s > 0 && (
          <Elapsed
            duration_s={unit.duration_s}
            expected_s={unit.expected_s}
            isRunning={state === 'running'}
            trans={trans}
          />
        )}
        {unit.has_notebook && shown.step.notebook !== null && (
          <button
            type="button"
            className="nbmlops-Link"
            aria-label={trans.__('Open the executed notebook of %1', name)}
            onClick={() => onOpenExecuted(unit)}
          >
            {trans.__('executed notebook')}
          </button>
        )}
        {run_id !== null && (
          <button
            type="button"
            className="nbmlops-Link"
            aria-label={trans.__('Show the run of %1', name)}
            onClick={() => onShowRun(run_id)}
          >
            {trans.__('run %1', run_id.slice(0, 8))}
          </button>
        )}
      </div>
      {why && <p className="nbmlops-Unit-why">{why}</p>}
      {cells?.cell && <code className="nbmlops-Unit-cell">{cells.cell}</code>}
    </li>
  );
}
