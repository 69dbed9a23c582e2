import { infoIcon, refreshIcon } from '@jupyterlab/ui-components';

import type { IProblem, IProject } from '../tokens';
import { IconButton } from './buttons';
import { ProblemNotice } from './problem-notice';
import { useTrans } from './trans';

/** Which project and experiment are in view, or why none is. */
export function ProjectHeader(props: {
  project: IProject | null;
  problem: IProblem | null;
  onRefresh: () => void;
}) {
  const { project, problem, onRefresh } = props;
  const trans = useTrans();
  return (
    <>
      <div className="nbmlops-Header-line">
        <div title={project?.tracking_uri}>
          <h2 className="nbmlops-Ellipsis">{project?.name ?? trans.__('MLOps')}</h2>
          {project && (
            <p className="nbmlops-Fine">
              {trans.__('Experiment: %1', project.experiment)}
            </p>
          )}
        </div>
        <IconButton
          icon={refreshIcon}
          label={trans.__('Refresh models and endpoints')}
          onClick={onRefresh}
        />
      </div>
      {problem && <ProblemNotice problem={problem} onRetry={onRefresh} />}
      {project?.hint && (
        <div className="nbmlops-Notice" role="note">
          <infoIcon.react tag="span" className="nbmlops-Icon" />
          <p>{project.hint}</p>
        </div>
      )}
    </>
  );
}
