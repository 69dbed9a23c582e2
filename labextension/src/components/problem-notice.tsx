import type { TranslationBundle } from '@jupyterlab/translation';
import { errorIcon } from '@jupyterlab/ui-components';

import type { IProblem } from '../tokens';

const INSTALL = `pip install nbmlops
jupyter server extension enable nbmlops`;

/** What is wrong and how to fix it, with a way to try again. */
export function ProblemNotice(props: {
  problem: IProblem;
  trans: TranslationBundle;
  onRetry?: () => void;
}) {
  const { problem, trans, onRetry } = props;
  return (
    <div className="nbmlops-Notice nbmlops-mod-problem" role="alert">
      <errorIcon.react tag="span" className="nbmlops-Notice-icon" />
      <div className="nbmlops-Notice-text">
        {problem.isMissingExtension ? (
          <MissingExtension trans={trans} />
        ) : (
          <>
            <p>{problem.problem}</p>
            {problem.fix && <p className="nbmlops-Notice-fix">{problem.fix}</p>}
          </>
        )}
        {onRetry && (
          <button
            type="button"
            className="jp-mod-styled nbmlops-Small"
            onClick={onRetry}
          >
            {trans.__('Try again')}
          </button>
        )}
      </div>
    </div>
  );
}

function MissingExtension({ trans }: { trans: TranslationBundle }) {
  return (
    <>
      <p>
        {trans.__(
          'The environment that runs JupyterLab lacks the nbmlops server extension.'
        )}
      </p>
      <p>{trans.__('In that environment, run:')}</p>
      <pre className="nbmlops-Code" tabIndex={0}>
        {INSTALL}
      </pre>
      <p>{trans.__('Then restart JupyterLab.')}</p>
    </>
  );
}
