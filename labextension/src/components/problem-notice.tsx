import { errorIcon } from '@jupyterlab/ui-components';

import type { IProblem } from '../tokens';
import { SmallButton } from './buttons';
import { useTrans } from './trans';

const INSTALL = `pip install nbmlops
jupyter server extension enable nbmlops`;
const EXAMPLE = `%%track
model = LogisticRegression().fit(X, y)`;

/** What is wrong and how to fix it, with a way to try again. */
export function ProblemNotice(props: { problem: IProblem; onRetry?: () => void }) {
  const { problem, onRetry } = props;
  const trans = useTrans();
  return (
    <div className="nbmlops-Notice" data-state="failed" role="alert">
      <errorIcon.react tag="span" className="nbmlops-Icon" />
      <div className="nbmlops-Stack">
        {problem.isMissingExtension ? (
          <MissingExtension />
        ) : (
          <>
            <p>{problem.problem}</p>
            {problem.fix && <strong>{problem.fix}</strong>}
          </>
        )}
        {onRetry && (
          <SmallButton onClick={onRetry}>{trans.__('Try again')}</SmallButton>
        )}
      </div>
    </div>
  );
}

function MissingExtension() {
  const trans = useTrans();
  return (
    <>
      <p>
        {trans.__(
          'The environment that runs JupyterLab lacks the nbmlops server extension.'
        )}
      </p>
      <p>{trans.__('In that environment, run:')}</p>
      <pre tabIndex={0}>{INSTALL}</pre>
      <p>{trans.__('Then restart JupyterLab.')}</p>
    </>
  );
}

/** Says that a notebook has no run with a model, and how to make one. */
export function NoRun({ notebook }: { notebook: string }) {
  const trans = useTrans();
  return (
    <div className="nbmlops-Stack" role="alert">
      <p>{trans.__('No run of %1 has a model yet.', notebook)}</p>
      <p>
        {trans.__(
          'Run %1 in a cell, fit a model in a %2 cell, then try again:',
          '%load_ext nbmlops',
          '%%track'
        )}
      </p>
      <pre tabIndex={0}>{EXAMPLE}</pre>
    </div>
  );
}
