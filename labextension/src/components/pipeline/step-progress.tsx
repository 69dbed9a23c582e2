import type { ILiveRun } from '../../tokens';
import { DialogButton } from '../buttons';
import { CellBar, Elapsed, LiveStateMark } from './live-state';
import { ProblemNotice } from '../problem-notice';
import { useTrans } from '../trans';

/** A notebook that runs as a step, cell by cell, and how it ended. */
export function StepProgress(props: {
  run: ILiveRun;
  onStop: () => void;
  onClose: () => void;
  onOpenExecuted: () => void;
  onShowRun: (run_id: string) => void;
}) {
  const { run, onStop, onClose, onOpenExecuted, onShowRun } = props;
  const { run_id } = run;
  const [step] = run.steps;
  const isRunning = run.status === 'RUNNING';
  const trans = useTrans();
  return (
    <div className="nbmlops-Stack">
      <div className="nbmlops-Summary">
        <div className="nbmlops-Line" role="status">
          <strong>{step?.step ?? run.path}</strong>
          <LiveStateMark state={step?.state ?? 'waiting'} />
          {step && (
            <Elapsed
              duration_s={step.duration_s}
              expected_s={step.expected_s}
              isRunning={isRunning}
            />
          )}
        </div>
        {step?.cells && (
          <>
            <CellBar cells={step.cells} label={trans.__('Cells')} />
            <code className="nbmlops-Ellipsis">{step.cells.cell}</code>
          </>
        )}
      </div>
      {run.problem && <ProblemNotice problem={run} />}
      <div className="jp-Dialog-footerButtons">
        {step?.has_notebook && (
          <DialogButton onClick={onOpenExecuted}>
            {trans.__('Open executed notebook')}
          </DialogButton>
        )}
        {run_id !== null && (
          <DialogButton onClick={() => onShowRun(run_id)}>
            {trans.__('Show run')}
          </DialogButton>
        )}
        {isRunning && (
          <DialogButton
            className="jp-mod-warn"
            disabled={run.is_stopping}
            onClick={onStop}
          >
            {trans.__('Stop')}
          </DialogButton>
        )}
        <DialogButton className="jp-mod-reject" autoFocus onClick={onClose}>
          {isRunning ? trans.__('Go on in the background') : trans.__('Close')}
        </DialogButton>
      </div>
    </div>
  );
}
