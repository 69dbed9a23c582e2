import { Time } from '@jupyterlab/coreutils';

import type { IVersionDetail } from '../../tokens';
import { LinkButton } from '../buttons';
import { OrderBadge } from '../run-details';
import { useTrans } from '../trans';

/** What a version is called, who made it when, and where it serves. */
export function VersionHeader(props: {
  detail: IVersionDetail;
  onOpenEndpoint: (name: string) => void;
}) {
  const { version, run, replay, commit, cells, champion } = props.detail;
  const trans = useTrans();
  const isDifferent = replay?.verdict === 'different';
  const registered = new Date(version.created_at);
  return (
    <header className="nbmlops-Stack">
      <div className="nbmlops-Line">
        <h1>{trans.__('%1 version %2', version.model, version.version)}</h1>
        {version.aliases.map(alias => (
          <span key={alias} className="nbmlops-Chip nbmlops-Ellipsis">
            {alias}
          </span>
        ))}
        <OrderBadge note={version.order_note} />
        {run && run.status !== 'FINISHED' && (
          <span className="nbmlops-Chip nbmlops-mod-warn">
            {trans.__('run: %1', run.status)}
          </span>
        )}
        {replay && (
          <span
            className={`nbmlops-Chip ${isDifferent ? 'nbmlops-mod-warn' : ''}`}
            title={trans.__('What came of its last replay, run %1', replay.run_id)}
          >
            {trans.__('replay: %1', replay.verdict)}
          </span>
        )}
        {version.verdict && (
          <span className="nbmlops-Chip">
            {trans.__('checks: %1', version.verdict)}
          </span>
        )}
      </div>
      {version.description && <p>{version.description}</p>}
      <dl className="nbmlops-Facts">
        <Fact name={trans.__('Registered')}>
          <time dateTime={version.created_at} title={Time.format(registered)}>
            {Time.formatHuman(registered)}
          </time>
        </Fact>
        <Fact name={trans.__('By')}>{version.user}</Fact>
        <Fact name={trans.__('Source')}>{version.source}</Fact>
        <Fact name={trans.__('Cells')}>{cells.map(cell => `[${cell}]`).join(' ')}</Fact>
        <Fact name={trans.__('Commit')}>
          {commit && <code title={commit}>{commit.slice(0, 12)}</code>}
        </Fact>
        <Fact name={trans.__('Data')}>
          {version.datasets.length > 0 && (
            <span title={version.datasets.map(({ digest }) => digest).join('\n')}>
              {version.datasets
                .map(({ name, digest }) => `${name} ${digest.slice(0, 8)}`)
                .join(', ')}
            </span>
          )}
        </Fact>
        <Fact name={trans.__('Champion')}>
          {champion && trans.__('version %1', champion.version)}
        </Fact>
      </dl>
      <Serving {...props} />
    </header>
  );
}

/** A name and what is known of it; nothing when that is nothing. */
function Fact(props: { name: string; children: React.ReactNode }) {
  return props.children ? (
    <div>
      <dt>{props.name}</dt> <dd>{props.children}</dd>
    </div>
  ) : null;
}

function Serving(props: {
  detail: IVersionDetail;
  onOpenEndpoint: (name: string) => void;
}) {
  const { endpoints } = props.detail;
  const trans = useTrans();
  if (endpoints.length === 0) {
    return <p className="nbmlops-Fine">{trans.__('No endpoint serves it.')}</p>;
  }
  const words = {
    champion: trans.__('champion'),
    canary: trans.__('canary'),
    shadow: trans.__('shadow'),
    previous: trans.__('previous version')
  };
  return (
    <ul className="nbmlops-List nbmlops-Line" aria-label={trans.__('Endpoints')}>
      {endpoints.map(({ name, role, share }) => (
        <li key={`${name} ${role}`} className="nbmlops-Line">
          <LinkButton
            aria-label={trans.__('Open endpoint %1', name)}
            onClick={() => props.onOpenEndpoint(name)}
          >
            {name}
          </LinkButton>
          <span>
            {share === null
              ? words[role]
              : trans.__('%1, %2% of the requests', words[role], toPercent(share))}
          </span>
        </li>
      ))}
    </ul>
  );
}

const toPercent = (share: number) => Math.round(share * 1000) / 10;
