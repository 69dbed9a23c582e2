import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { UseSignal } from '@jupyterlab/ui-components';

import { ProblemNotice } from '../components/problem-notice';
import { StepFormView } from '../components/pipeline/step-form';
import { StepProgress } from '../components/pipeline/step-progress';
import { useTrans } from '../components/trans';
import type { ILiveRun, IStepModel } from '../tokens';
import { FlowDialog } from './flow-dialog';
import { showRunDialog } from './run-dialog';

export interface IStepDialogOptions {
  notebook: string;
  model: IStepModel;
  /** Open the executed notebook of a run, which grows while that goes on. */
  onOpenExecuted: (run: ILiveRun) => void;
  trans: TranslationBundle;
}

/**
 * Asks for a notebook's parameters, and follows its run; resolves when it is over.
 *
 * When it is closed early, the run goes on and a notification says how it ends.
 */
export async function showStepDialog(options: IStepDialogOptions): Promise<void> {
  const { model, notebook, trans } = options;
  const dialog: FlowDialog = new FlowDialog(
    trans.__('Run as tracked step'),
    <UseSignal signal={model.stateChanged}>
      {() => <StepState {...options} onClose={() => dialog.reject()} />}
    </UseSignal>,
    trans
  );
  void model.load();
  await dialog.launch();
  if (model.run?.status === 'RUNNING' && model.isStarted) {
    const message = trans.__('Running %1…', notebook);
    const id = Notification.emit(message, 'in-progress');
    const run = await model.finished;
    const isDone = run.status === 'FINISHED';
    Notification.update({
      id,
      message: isDone
        ? trans.__('%1 has run.', notebook)
        : `${run.problem} ${run.fix}`.trim(),
      type: isDone ? 'success' : 'error',
      autoClose: isDone ? 5000 : false
    });
  }
}

function StepState(props: IStepDialogOptions & { onClose: () => void }) {
  const { notebook, model, onOpenExecuted, onClose } = props;
  const trans = useTrans();
  const { run, form, problem } = model;
  const problems = problem?.fields ?? {};
  const isAtField = form?.parameters.some(({ name }) => name in problems);
  const notice = problem && !isAtField && <ProblemNotice problem={problem} />;
  if (run && model.isStarted) {
    return (
      <>
        {notice}
        <StepProgress
          run={run}
          onStop={() => void model.stop()}
          onClose={onClose}
          onOpenExecuted={() => {
            onOpenExecuted(run);
            onClose();
          }}
          onShowRun={run_id => void showRunDialog(run_id, model, trans)}
        />
      </>
    );
  }
  if (!form) {
    return (
      notice || <p role="status">{trans.__("Reading the notebook's parameters…")}</p>
    );
  }
  return (
    <>
      {notice}
      <StepFormView
        notebook={notebook}
        form={form}
        problems={problems}
        onSubmit={texts => void model.start(texts)}
        onCancel={onClose}
      />
    </>
  );
}
