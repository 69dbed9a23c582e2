import { useEffect, useId, useState } from 'react';

import type {
  CanaryRules,
  EndpointAction,
  IEndpointDetail,
  IModelVersion
} from '../../tokens';
import { SmallButton } from '../buttons';
import { useTrans } from '../trans';

const FIRST_PERCENT = 10;

export interface IRolloutActions {
  onCanary: (version: number, share: number, rules: CanaryRules) => void;
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
  const { texts, setText, rules } = useRules(endpoint);
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
              props.onCanary(version, shown / 100, rules);
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
                : trans.__('Change canary')}
          </SmallButton>
          <RuleFields texts={texts} onText={setText} />
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

const RULES = [
  { name: 'error_share', max: 1 },
  { name: 'latency_ms_p99' },
  { name: 'prediction_shift', max: 1 },
  { name: 'min_requests', step: 1 }
] as const;

/** The rules as they are typed: those of the endpoint, until one is changed. */
function useRules({ canary_version, canary_rules }: IEndpointDetail) {
  const [typed, setTyped] = useState<Record<string, string>>({});
  const known = JSON.stringify(canary_rules);
  useEffect(() => setTyped({}), [canary_version, known]);
  const texts = Object.fromEntries(
    RULES.map(({ name }) => [name, typed[name] ?? `${canary_rules[name] ?? ''}`])
  );
  const rules: CanaryRules = Object.fromEntries(
    Object.entries(texts)
      .filter(([, text]) => text !== '')
      .map(([name, text]) => [name, Number(text)])
  );
  const setText = (name: string, text: string) =>
    setTyped(before => ({ ...before, [name]: text }));
  return { texts, setText, rules };
}

/** What ends the canary by itself; a field that is empty is no rule. */
function RuleFields(props: {
  texts: Record<string, string>;
  onText: (name: string, text: string) => void;
}) {
  const trans = useTrans();
  const labels = {
    error_share: trans.__('Share of errors above'),
    latency_ms_p99: trans.__('p99 above, ms'),
    prediction_shift: trans.__('Shift of predictions above'),
    min_requests: trans.__('From this many requests')
  };
  return (
    <fieldset className="nbmlops-Rules">
      <legend className="nbmlops-Fine">
        {trans.__('It ends by itself when it breaks a rule')}
      </legend>
      {RULES.map(({ name, ...limits }) => (
        <label key={name} className="nbmlops-Field">
          {labels[name]}
          <input
            type="number"
            className="jp-mod-styled"
            min={0}
            step="any"
            placeholder={trans.__('no rule')}
            {...limits}
            value={props.texts[name]}
            onChange={event => props.onText(name, event.target.value)}
          />
        </label>
      ))}
    </fieldset>
  );
}
