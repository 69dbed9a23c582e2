import type { TranslationBundle } from '@jupyterlab/translation';
import { refreshIcon } from '@jupyterlab/ui-components';
import { useState } from 'react';

import type {
  ILiveRun,
  IPipelineStep,
  IPipelineView,
  IProblem,
  IRunChoice
} from '../../tokens';
import { IconButton, SmallButton } from '../buttons';
import { PipelineGraph } from './pipeline-graph';
import { type IShownRun, type IShownStep, toShown } from './pipeline-state';
import { ProblemNotice } from '../problem-notice';
import { StepDetails } from './step-details';
import { useTrans } from '../trans';

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
  onOpenExecuted: (run: IShownRun) => void;
  onShowRun: (run_id: string) => void;
}

/** A pipeline: what can be done, its status, its graph, and the selected step. */
export function PipelineView(props: IPipelineViewProps) {
  const { view, run, problem, onRun, onOpenNotebook } = props;
  const [selected, setSelected] = useState<string | null>(null);
  const steps = view ? toShown(view, run) : [];
  const shown = steps.find(({ step }) => step.name === selected);
  const isRunning = run?.status === 'RUNNING' || props.isStarting;
  return (
    <div aria-busy={view === null && problem === null}>
      <PipelineBar {...props} steps={steps} isRunning={isRunning} />
      {problem && <ProblemNotice problem={problem} onRetry={props.onRefresh} />}
      {run && run.status !== 'RUNNING' && run.problem && !problem && (
        <ProblemNotice problem={run} />
      )}
      {view && (
        <div className="nbmlops-Graph-scroll">
          <PipelineGraph
            name={view.name}
            steps={steps}
            selected={selected}
            onSelect={step => setSelected(step === selected ? null : step)}
            onOpen={step => step.notebook !== null && onOpenNotebook(step)}
          />
        </div>
      )}
      {shown && (
        <StepDetails
          {...props}
          shown={shown}
          isRunning={isRunning}
          onRunFrom={step => onRun({ from_step: step })}
          onForce={step => onRun({ force: [step] })}
        />
      )}
    </div>
  );
}

function PipelineBar(
  props: IPipelineViewProps & { steps: IShownStep[]; isRunning: boolean }
) {
  const { view, run, steps, isRunning, onRun, onStop, onRefresh, onEdit } = props;
  const trans = useTrans();
  return (
    <header className="nbmlops-Pipeline-bar">
      <h2>{view?.name ?? trans.__('Pipeline')}</h2>
      <p role="status">
        {run?.status === 'RUNNING' || view ? summarize(steps, run, trans) : ''}
      </p>
      <div className="nbmlops-Line">
        <SmallButton
          className="nbmlops-mod-accept"
          disabled={isRunning || view === null}
          title={trans.__('Run the steps that have no cached result')}
          onClick={() => onRun({})}
        >
          {trans.__('Run')}
        </SmallButton>
        <SmallButton
          disabled={isRunning || view === null}
          title={trans.__('Run all steps, cached or not')}
          onClick={() => onRun({ force: ['*'] })}
        >
          {trans.__('Force all')}
        </SmallButton>
        <SmallButton
          disabled={run?.status !== 'RUNNING'}
          title={trans.__('Let running steps finish; pressed again, stop them')}
          onClick={onStop}
        >
          {run?.is_stopping ? trans.__('Stop now') : trans.__('Stop')}
        </SmallButton>
        <SmallButton onClick={onEdit}>{trans.__('Edit file')}</SmallButton>
        <IconButton
          icon={refreshIcon}
          label={trans.__('Plan again')}
          onClick={onRefresh}
        />
      </div>
    </header>
  );
}

function summarize(
  steps: IShownStep[],
  run: ILiveRun | null,
  trans: TranslationBundle
): string {
  const runs = steps.flatMap(step => step.runs);
  const count = (...states: string[]) =>
    runs.filter(({ state }) => states.includes(state)).length;
  if (run?.status === 'RUNNING') {
    return run.is_stopping
      ? trans.__('Stopping when the running steps have ended')
      : trans.__('Running: %1 of %2 done', count('done', 'cached'), runs.length);
  }
  const n_failed = count('failed');
  const n_run = runs.length - count('done', 'cached', 'running');
  if (n_failed > 0) {
    return trans._n('%1 run has failed', '%1 runs have failed', n_failed);
  }
  return n_run === 0
    ? trans.__('Nothing to run: all results are cached')
    : trans.__('%1 of %2 to run', n_run, runs.length);
}
