import type { TranslationBundle } from '@jupyterlab/translation';
import { refreshIcon } from '@jupyterlab/ui-components';
import { useState } from 'react';

import type {
  ILiveRun,
  IPipelineStep,
  IPipelineView,
  IProblem,
  IRunChoice
} from '../tokens';
import { PipelineGraph } from './pipeline-graph';
import { type IShownStep, type IShownUnit, toShown } from './pipeline-state';
import { ProblemNotice } from './problem-notice';
import { StepDetails } from './step-details';

export interface IPipelineViewProps {
  view: IPipelineView | null;
  run: ILiveRun | null;
  problem: IProblem | null;
  isStarting: boolean;
  onRun: (choice: IRunChoice) => void;
  onStop: () => void;
  onRefresh: () => void;
  onEdit: () => void;
  onOpenNotebook: (step: IPipelineStep) => void;
  onOpenExecuted: (unit: IShownUnit) => void;
  onShowRun: (run_id: string) => void;
  trans: TranslationBundle;
}

/** A pipeline: what can be done, how it stands, its graph, and the selected step. */
export function PipelineView(props: IPipelineViewProps) {
  const { view, run, problem, trans } = props;
  const [selected, setSelected] = useState<string | null>(null);
  const steps = view ? toShown(view, run) : [];
  const shown = steps.find(({ step }) => step.name === selected);
  const isRunning = run?.status === 'RUNNING' || props.isStarting;
  return (
    <div className="nbmlops-Pipeline" aria-busy={view === null && problem === null}>
      <PipelineBar {...props} steps={steps} isRunning={isRunning} />
      {problem && (
        <ProblemNotice problem={problem} trans={trans} onRetry={props.onRefresh} />
      )}
      {run && run.status !== 'RUNNING' && run.problem && !problem && (
        <ProblemNotice problem={{ problem: run.problem, fix: run.fix }} trans={trans} />
      )}
      {view && (
        <div className="nbmlops-Pipeline-graph">
          <PipelineGraph
            name={view.name}
            steps={steps}
            selected={selected}
            onSelect={step => setSelected(step === selected ? null : step)}
            onOpen={step => {
              if (step.notebook !== null) {
                props.onOpenNotebook(step);
              }
            }}
            trans={trans}
          />
        </div>
      )}
      {shown && (
        <StepDetails
          shown={shown}
          isRunning={isRunning}
          onOpenNotebook={props.onOpenNotebook}
          onOpenExecuted={props.onOpenExecuted}
          onShowRun={props.onShowRun}
          onRunFrom={step => props.onRun({ from_step: step })}
          onForce={step => props.onRun({ force: [step] })}
          trans={trans}
        />
      )}
    </div>
  );
}

function PipelineBar(
  props: IPipelineViewProps & { steps: IShownStep[]; isRunning: boolean }
) {
  const { view, run, steps, isRunning, onRun, onStop, onRefresh, onEdit, trans } =
    props;
  const label = trans.__('Plan again');
  return (
    <header className="nbmlops-Pipeline-bar">
      <h2>{view?.name ?? trans.__('Pipeline')}</h2>
      <p className="nbmlops-Pipeline-status" role="status">
        {run?.status === 'RUNNING' || view ? summary(steps, run, trans) : ''}
      </p>
      <div className="nbmlops-Actions">
        <button
          type="button"
          className="jp-mod-styled jp-mod-accept nbmlops-Small nbmlops-mod-main"
          disabled={isRunning || view === null}
          title={trans.__('Run the steps whose result is not kept')}
          onClick={() => onRun({})}
        >
          {trans.__('Run')}
        </button>
        <button
          type="button"
          className="jp-mod-styled nbmlops-Small"
          disabled={isRunning || view === null}
          title={trans.__('Run all steps, whatever is kept')}
          onClick={() => onRun({ force: ['*'] })}
        >
          {trans.__('Force all')}
        </button>
        <button
          type="button"
          className="jp-mod-styled nbmlops-Small"
          disabled={run?.status !== 'RUNNING'}
          title={trans.__('Let running steps finish; pressed again, stop them')}
          onClick={onStop}
        >
          {run?.is_stopping ? trans.__('Stop now') : trans.__('Stop')}
        </button>
        <button type="button" className="jp-mod-styled nbmlops-Small" onClick={onEdit}>
          {trans.__('Edit file')}
        </button>
        <button
          type="button"
          className="nbmlops-IconButton"
          aria-label={label}
          title={label}
          onClick={onRefresh}
        >
          <refreshIcon.react tag="span" />
        </button>
      </div>
    </header>
  );
}

function summary(
  steps: IShownStep[],
  run: ILiveRun | null,
  trans: TranslationBundle
): string {
  const units = steps.flatMap(step => step.units);
  const count = (...states: string[]) =>
    units.filter(({ state }) => states.includes(state)).length;
  if (run?.status === 'RUNNING') {
    const n_done = count('done', 'cached');
    return run.is_stopping
      ? trans.__('Stopping when the running steps have ended')
      : trans.__('Running: %1 of %2 done', n_done, units.length);
  }
  const n_failed = count('failed');
  const n_run = count('run', 'open', 'failed', 'stopped', 'not run', 'waiting');
  if (n_failed > 0) {
    return trans._n('%1 run has failed', '%1 runs have failed', n_failed);
  }
  return n_run === 0
    ? trans.__('Nothing to run: all results are kept')
    : trans.__('%1 of %2 to run', n_run, units.length);
}
