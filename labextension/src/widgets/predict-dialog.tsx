import type { TranslationBundle } from '@jupyterlab/translation';

import { PredictForm } from '../components/predict-form';
import type { IEndpointDetail, IModelRegistry } from '../tokens';
import { FlowDialog } from './flow-dialog';

/** Lets the user send rows to an endpoint; resolves when it is closed. */
export async function showPredictDialog(
  endpoint: IEndpointDetail,
  registry: IModelRegistry,
  trans: TranslationBundle
): Promise<void> {
  const { name, version, example } = endpoint;
  await new FlowDialog(
    trans.__('Predict with %1 (version %2)', name, version),
    <PredictForm
      example={example}
      onPredict={payload => registry.predict(name, payload)}
      explain={registry.explain}
    />,
    trans
  ).launch();
}
