import type { TranslationBundle } from '@jupyterlab/translation';

import type { ILiveRun } from '../tokens';
import { CellBar, Elapsed, LiveStateMark } from './live-state';
import { ProblemNotice } from './problem-notice';

/** A notebook that runs as a step, cell by cell, and how it ended. */
export function StepProgress(props: {
  run: ILiveRun;
  onStop: () => void;
  onClose: () => void;
  onOpenExecuted: () => void;
  onShowRun: (run_id: string) => void;
  trans: TranslationBundle;
}) {
  const { run, onStop, onClose, onOpenExecuted, onShowRun, trans } = props;
  const [step] = run.steps;
  const { run_id } = run;
  const isRunning = run.status === 'RUNNING';
  return (
    <div className="nbmlops-Form">
      <div className="nbmlops-Summary">
        <div className="nbmlops-Line" role="status">
          <strong>{step?.step ?? run.path}</strong>
          <LiveStateMark state={step?.state ?? 'waiting'} trans={trans} />
          {step && step.duration_s > 0 && (
            <Elapsed
              duration_s={step.duration_s}
              expected_s={step.expected_s}
              isRunning={isRunning}
              trans={trans}
            />
          )}
        </div>
        {step?.cells && (
          <>
            <CellBar cells={step.cells} label={trans.__('Cells')} trans={trans} />
            <code className="nbmlops-Unit-cell">{step.cells.cell}</code>
          </>
        )}
      </div>
      {run.problem && (
        <ProblemNotice problem={{ problem: run.problem, fix: run.fix }} trans={trans} />
      )}
      <div className="nbmlops-Actions nbmlops-mod-end">
        {step?.has_notebook && (
          <button type="button" className="jp-mod-styled" onClick={onOpenExecuted}>
            {trans.__('Open executed notebook')}
          </button>
        )}
        {run_id !== null && (
          <button
            type="button"
            className="jp-mod-styled"
            onClick={() => onShowRun(run_id)}
          >
            {trans.__('Show run')}
          </button>
        )}
        {isRunning && (
          <button
            type="button"
            className="jp-mod-styled jp-mod-warn"
            disabled={run.is_stopping}
            onClick={onStop}
          >
            {trans.__('Stop')}
          </button>
        )}
        <button
          type="button"
          className="jp-mod-styled jp-mod-reject"
          autoFocus
          onClick={onClose}
        >
          {isRunning ? trans.__('Go on in the background') : trans.__('Close')}
        </button>
      </div>
    </div>
  );
}
