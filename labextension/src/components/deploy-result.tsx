import type { TranslationBundle } from '@jupyterlab/translation';

import type { IEndpointDetail, IProblem } from '../tokens';
import { CopyButton } from './copy-button';
import { PredictForm } from './predict-form';

/** Where the endpoint answers, and a row to try there. */
export function DeployResult(props: {
  endpoint: IEndpointDetail;
  onPredict: (payload: string) => Promise<unknown>;
  explain: (error: unknown) => IProblem;
  onCopy: (text: string) => void;
  trans: TranslationBundle;
}) {
  const { endpoint, onCopy, trans } = props;
  return (
    <>
      <div className="nbmlops-Url">
        <span>{trans.__('URL')}</span>
        <code>{endpoint.url}</code>
        <CopyButton url={endpoint.url} onCopy={onCopy} trans={trans} />
      </div>
      <PredictForm {...props} example={endpoint.example} />
    </>
  );
}
