import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';

import { PredictForm } from '../components/predict-form';
import type { IEndpointDetail, IModelRegistry } from '../tokens';
import { FlowDialog } from './flow-dialog';

/** Lets the user send rows to an endpoint; resolves when it is closed. */
export async function showPredictDialog(
  endpoint: IEndpointDetail,
  registry: IModelRegistry,
  trans: TranslationBundle
): Promise<void> {
  const body = ReactWidget.create(
    <PredictForm
      example={endpoint.example}
      onPredict={payload => registry.predict(endpoint.name, payload)}
      explain={registry.explain}
      trans={trans}
    />
  );
  const title = trans.__(
    'Predict with %1 (version %2)',
    endpoint.name,
    endpoint.version
  );
  await new FlowDialog(title, body).launch();
}
