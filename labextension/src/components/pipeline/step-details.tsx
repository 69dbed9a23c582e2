import type { IPipelineStep } from '../../tokens';
import { LinkButton, SmallButton } from '../buttons';
import { Elapsed, LiveStateMark } from './live-state';
import type { IShownRun, IShownStep } from './pipeline-state';
import { useTrans } from '../trans';

interface IStepDetailsProps {
  shown: IShownStep;
  isRunning: boolean;
  onOpenNotebook: (step: IPipelineStep) => void;
  onOpenExecuted: (run: IShownRun) => void;
  onShowRun: (run_id: string) => void;
  onRunFrom: (step: string) => void;
  onForce: (step: string) => void;
}

/** A step with each of its runs, and what can be done with them. */
export function StepDetails(props: IStepDetailsProps) {
  const { isRunning } = props;
  const { step, runs } = props.shown;
  const trans = useTrans();
  const title = trans.__('Step %1', step.name);
  return (
    <section className="nbmlops-Stack nbmlops-StepDetails" aria-label={title}>
      <div className="nbmlops-Line">
        <h3>{title}</h3>
        <span className="nbmlops-Fine nbmlops-Ellipsis">
          {trans.__('%1, line %2 of the file', step.does, step.line)}
        </span>
      </div>
      <div className="nbmlops-Line">
        {step.notebook !== null && (
          <SmallButton onClick={() => props.onOpenNotebook(step)}>
            {trans.__('Open notebook')}
          </SmallButton>
        )}
        <SmallButton
          disabled={isRunning}
          title={trans.__('Run this step and all that follow it, cached or not')}
          onClick={() => props.onRunFrom(step.name)}
        >
          {trans.__('Run from here')}
        </SmallButton>
        <SmallButton
          disabled={isRunning}
          title={trans.__(
            'Run this step, cached or not, and the steps that it changes'
          )}
          onClick={() => props.onForce(step.name)}
        >
          {trans.__('Force this step')}
        </SmallButton>
      </div>
      <ul className="nbmlops-List" aria-label={trans.__('Runs of %1', step.name)}>
        {runs.map(run => (
          <RunItem {...props} key={run.name} run={run} />
        ))}
      </ul>
    </section>
  );
}

function RunItem(props: { run: IShownRun } & IStepDetailsProps) {
  const { run, shown, onOpenExecuted, onShowRun } = props;
  const { name, state, why, run_id, cells } = run;
  const trans = useTrans();
  return (
    <li className="nbmlops-Item">
      <div className="nbmlops-Line">
        <span>{name}</span>
        {run.is_selected && (
          <span className="nbmlops-Chip">{trans.__('selected')}</span>
        )}
        <LiveStateMark state={state} />
        <Elapsed
          duration_s={run.duration_s}
          expected_s={run.expected_s}
          isRunning={state === 'running'}
        />
        {run.has_notebook && shown.step.notebook !== null && (
          <LinkButton
            aria-label={trans.__('Open the executed notebook of %1', name)}
            onClick={() => onOpenExecuted(run)}
          >
            {trans.__('executed notebook')}
          </LinkButton>
        )}
        {run_id !== null && (
          <LinkButton
            aria-label={trans.__('Show the run of %1', name)}
            onClick={() => onShowRun(run_id)}
          >
            {trans.__('run %1', run_id.slice(0, 8))}
          </LinkButton>
        )}
      </div>
      {why && <p className="nbmlops-Why">{why}</p>}
      {cells?.cell && <code className="nbmlops-Ellipsis">{cells.cell}</code>}
    </li>
  );
}
