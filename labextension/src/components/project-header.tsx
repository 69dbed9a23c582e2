import type { TranslationBundle } from '@jupyterlab/translation';
import { infoIcon, refreshIcon } from '@jupyterlab/ui-components';

import type { IProblem, IProject } from '../tokens';
import { ProblemNotice } from './problem-notice';

/** Which project and experiment are in view, or why none is. */
export function ProjectHeader(props: {
  project: IProject | null;
  problem: IProblem | null;
  onRefresh: () => void;
  trans: TranslationBundle;
}) {
  const { project, problem, onRefresh, trans } = props;
  return (
    <>
      <div className="nbmlops-Header-line">
        <div className="nbmlops-Header-names" title={project?.tracking_uri}>
          <h2>{project?.name ?? trans.__('MLOps')}</h2>
          {project && <p>{trans.__('Experiment: %1', project.experiment)}</p>}
        </div>
        <button
          type="button"
          className="nbmlops-IconButton"
          aria-label={trans.__('Refresh models and endpoints')}
          title={trans.__('Refresh')}
          onClick={onRefresh}
        >
          <refreshIcon.react tag="span" />
        </button>
      </div>
      {problem && <ProblemNotice problem={problem} trans={trans} onRetry={onRefresh} />}
      {project?.hint && (
        <div className="nbmlops-Notice" role="note">
          <infoIcon.react tag="span" className="nbmlops-Notice-icon" />
          <p className="nbmlops-Notice-text">{project.hint}</p>
        </div>
      )}
    </>
  );
}
