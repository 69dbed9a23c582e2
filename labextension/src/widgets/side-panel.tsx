import type { ITranslator } from '@jupyterlab/translation';
import { ReactWidget, SidePanel, UseSignal } from '@jupyterlab/ui-components';
import { AccordionPanel } from '@lumino/widgets';
import type { ReactElement } from 'react';

import { EndpointsView } from '../components/endpoints-view';
import { ModelsView } from '../components/models-view';
import { ProjectHeader } from '../components/project-header';
import { Trans } from '../components/trans';
import { registryIcon } from '../icons';
import type {
  IEndpoint,
  IModelRegistry,
  IModelVersion,
  IRegisteredModel
} from '../tokens';
import { followWhileVisible } from './visibility';

export namespace RegistryPanel {
  export interface IOptions {
    registry: IModelRegistry;
    translator: ITranslator;
    onOpenVersion: (version: IModelVersion) => void;
    onDeploy: (version: IModelVersion) => void;
    onSetAlias: (version: IModelVersion) => void;
    onOpenModel: (model: IRegisteredModel) => void;
    onOpen: (endpoint: IEndpoint) => void;
    onPredict: (endpoint: IEndpoint) => void;
    onStop: (endpoint: IEndpoint) => void;
  }
}

/** The sidebar: a project's registered models and endpoints, read while it shows. */
export class RegistryPanel extends SidePanel {
  constructor(private readonly _options: RegistryPanel.IOptions) {
    super({ translator: _options.translator });
    const trans = _options.translator.load('nbmlops');
    this.id = 'nbmlops-panel';
    this.addClass('nbmlops-Panel');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Models and endpoints'));
    this.title.icon = registryIcon;
    this.title.caption = trans.__('Models and endpoints');

    const { registry } = _options;
    const header = this._createSection(() => (
      <ProjectHeader
        project={registry.project}
        problem={registry.problem}
        onRefresh={() => void registry.refresh()}
      />
    ));
    this.header.addWidget(header);

    const models = this._createSection(() => (
      <ModelsView
        models={registry.models}
        endpoints={registry.endpoints.items}
        versions={model => registry.versions(model)}
        search={registry.search}
        onSearch={text => (registry.search = text)}
        onToggle={model => registry.toggle(model)}
        onOpenModel={_options.onOpenModel}
        onOpenVersion={_options.onOpenVersion}
        onDeploy={_options.onDeploy}
        onSetAlias={_options.onSetAlias}
      />
    ));
    models.addClass('nbmlops-Models');
    models.title.label = trans.__('Models');
    this.addWidget(models);

    const endpoints = this._createSection(() => (
      <EndpointsView
        endpoints={registry.endpoints}
        onOpen={_options.onOpen}
        onPredict={_options.onPredict}
        onStop={_options.onStop}
      />
    ));
    endpoints.title.label = trans.__('Endpoints');
    this.addWidget(endpoints);
    if (this.content instanceof AccordionPanel) {
      this.content.setRelativeSizes([3, 2]);
    }

    followWhileVisible(this, registry);
  }

  private _createSection(render: () => ReactElement): ReactWidget {
    const { registry, translator } = this._options;
    const section = ReactWidget.create(
      <Trans.Provider value={translator.load('nbmlops')}>
        <UseSignal signal={registry.stateChanged}>{render}</UseSignal>
      </Trans.Provider>
    );
    section.addClass('nbmlops-Section');
    return section;
  }
}
