import { useEffect, useId, useState } from 'react';

import type { EndpointAction, IEndpointDetail, IModelVersion } from '../../tokens';
import { SmallButton } from '../buttons';
import { useTrans } from '../trans';

const FIRST_PERCENT = 10;

export interface IRolloutActions {
  onCanary: (version: number, share: number) => void;
  onPromote: () => void;
  onAbort: () => void;
  onRollBack: () => void;
  onStop: () => void;
}

/** A canary with its share, and what becomes of it. */
export function RolloutForm(
  props: {
    endpoint: IEndpointDetail;
    versions: readonly IModelVersion[];
    action: EndpointAction | null;
  } & IRolloutActions
) {
  const { endpoint, versions, action } = props;
  const { canary_version, canary_share, previous_version } = endpoint;
  const trans = useTrans();
  const id = useId();
  const choices = versions.filter(({ version }) => version !== endpoint.version);
  const [chosen, setChosen] = useState<number | null>(null);
  const [newest] = choices;
  const found = choices.find(each => each.version === chosen) ?? newest;
  const version = canary_version ?? found?.version ?? null;
  const [percent, setPercent] = useState<number | null>(null);
  useEffect(() => setPercent(null), [canary_version, canary_share]);
  const current = canary_share === null ? null : Math.round(canary_share * 100);
  const shown = percent ?? current ?? FIRST_PERCENT;
  const isBusy = action !== null;
  return (
    <section className="nbmlops-Stack" aria-labelledby={`${id}h`}>
      <h2 id={`${id}h`}>{trans.__('Roll-out')}</h2>
      {version === null ? (
        <p className="nbmlops-Fine">
          {trans.__('Register another version of %1 to try it here.', endpoint.model)}
        </p>
      ) : (
        <form
          className="nbmlops-Line nbmlops-Canary"
          onSubmit={event => {
            event.preventDefault();
            if (!isBusy) {
              props.onCanary(version, shown / 100);
            }
          }}
        >
          <label htmlFor={`${id}v`}>{trans.__('Canary')}</label>
          <select
            id={`${id}v`}
            className="jp-mod-styled"
            value={version}
            disabled={canary_version !== null}
            onChange={event => setChosen(Number(event.target.value))}
          >
            {canary_version !== null &&
              !choices.some(each => each.version === canary_version) && (
                <option value={canary_version}>
                  {trans.__('version %1', canary_version)}
                </option>
              )}
            {choices.map(({ version: each, aliases }) => (
              <option key={each} value={each}>
                {[trans.__('version %1', each), ...aliases].join(' · ')}
              </option>
            ))}
          </select>
          <input
            type="range"
            min={1}
            max={99}
            value={shown}
            aria-label={trans.__('Share of the requests')}
            aria-valuetext={trans.__('%1%', shown)}
            onChange={event => setPercent(Number(event.target.value))}
          />
          <output className="nbmlops-Percent">{trans.__('%1%', shown)}</output>
          <SmallButton type="submit" aria-disabled={isBusy}>
            {action === 'canary'
              ? trans.__('Working…')
              : canary_version === null
                ? trans.__('Start canary')
                : trans.__('Change share')}
          </SmallButton>
        </form>
      )}
      <div className="nbmlops-Line">
        <SmallButton
          className="nbmlops-mod-accept"
          disabled={canary_version === null || isBusy}
          onClick={props.onPromote}
        >
          {action === 'promote'
            ? trans.__('Promoting…')
            : canary_version === null
              ? trans.__('Promote')
              : trans.__('Promote version %1', canary_version)}
        </SmallButton>
        <SmallButton
          disabled={canary_version === null || isBusy}
          onClick={props.onAbort}
        >
          {action === 'abort'
            ? trans.__('Ending the canary…')
            : trans.__('Abort canary')}
        </SmallButton>
        <SmallButton
          disabled={previous_version === null || canary_version !== null || isBusy}
          onClick={props.onRollBack}
        >
          {action === 'rollback'
            ? trans.__('Rolling back…')
            : previous_version === null
              ? trans.__('Roll back')
              : trans.__('Roll back to version %1', previous_version)}
        </SmallButton>
        <SmallButton
          className="nbmlops-mod-end"
          disabled={isBusy}
          onClick={props.onStop}
        >
          {action === 'stop' ? trans.__('Stopping…') : trans.__('Stop endpoint…')}
        </SmallButton>
      </div>
    </section>
  );
}
