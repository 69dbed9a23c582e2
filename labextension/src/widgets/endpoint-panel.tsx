import type { TranslationBundle } from '@jupyterlab/translation';
import { VDomRenderer } from '@jupyterlab/ui-components';

import { EndpointView } from '../components/endpoint/endpoint-view';
import { Trans } from '../components/trans';
import { deployIcon } from '../icons';
import type { IEndpointModel } from '../tokens';
import { confirmStop } from './stop-dialog';
import { followWhileVisible } from './visibility';

/** An endpoint in the main area, read while it shows. */
export class EndpointPanel extends VDomRenderer<IEndpointModel> {
  constructor(
    model: IEndpointModel,
    private readonly _trans: TranslationBundle
  ) {
    super(model);
    this.addClass('nbmlops-EndpointPanel');
    this.title.label = model.name;
    this.title.caption = _trans.__('Endpoint %1', model.name);
    this.title.icon = deployIcon;
    this.title.closable = true;
    followWhileVisible(this, model);
    this.disposed.connect(() => model.dispose());
  }

  protected override render() {
    const { model, _trans: trans } = this;
    return (
      <Trans.Provider value={trans}>
        <EndpointView
          name={model.name}
          endpoint={model.endpoint}
          history={model.history}
          nReadings={model.nReadings}
          versions={model.versions}
          action={model.action}
          message={model.message}
          problem={model.problem}
          readProblem={model.readProblem}
          log={model.log}
          onLog={isShown => void model.showLog(isShown)}
          onRetry={() => void model.refresh()}
          onCanary={(...canary) => void model.setCanary(...canary)}
          onPromote={() => void model.promote()}
          onAbort={() => void model.abort()}
          onRollBack={() => void model.rollBack()}
          onStop={() => void this._stop()}
          onPredict={payload => model.predict(payload)}
          explain={model.explain}
        />
      </Trans.Provider>
    );
  }

  private async _stop(): Promise<void> {
    if (await confirmStop(this.model.name, this._trans)) {
      await this.model.stop();
    }
  }
}
