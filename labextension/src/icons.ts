import { LabIcon } from '@jupyterlab/ui-components';

import deploySvg from '../style/icons/deploy.svg';
import pipelineSvg from '../style/icons/pipeline.svg';
import registrySvg from '../style/icons/registry.svg';

export const registryIcon = new LabIcon({
  name: 'nbmlops:registry',
  svgstr: registrySvg
});
export const deployIcon = new LabIcon({ name: 'nbmlops:deploy', svgstr: deploySvg });
export const pipelineIcon = new LabIcon({
  name: 'nbmlops:pipeline',
  svgstr: pipelineSvg
});
