import type { ReactNode } from 'react';
import { useId } from 'react';

import type { ICodeDifference, IProblem, IVersionDetail } from '../../tokens';
import { SmallButton } from '../buttons';
import { ProblemNotice } from '../problem-notice';
import { useTrans } from '../trans';
import { CodeDifference } from './code-difference';
import { Example, Figures, Files } from './files';
import { type ILineageActions, LineageGraph } from './lineage-graph';
import { MetricsTable } from './metrics-table';
import { SignatureTable } from './signature-table';
import { VersionHeader } from './version-header';

export interface IVersionViewProps extends ILineageActions {
  name: string;
  version: number;
  /** Null until it is read, and when it is gone. */
  detail: IVersionDetail | null;
  isGone: boolean;
  problem: IProblem | null;
  code: ICodeDifference | null;
  isComparing: boolean;
  codeProblem: IProblem | null;
  toImageUrl: (file: string) => string;
  onRetry: () => void;
  onCompare: () => void;
  onDeploy: () => void;
  onSetAlias: () => void;
}

/** One model version: where it comes from, how good it is, what it takes. */
export function VersionView(props: IVersionViewProps) {
  const { name, version, detail, isGone, problem } = props;
  const trans = useTrans();
  return (
    <div className="nbmlops-Version nbmlops-Stack">
      <p role="status" className={detail || problem ? 'jp-sr-only' : undefined}>
        {!detail && !problem && trans.__('Reading version %1 of %2…', version, name)}
      </p>
      {isGone && <h1>{trans.__('%1 version %2 is gone', name, version)}</h1>}
      {problem && <ProblemNotice problem={problem} onRetry={props.onRetry} />}
      {detail && <Loaded {...props} detail={detail} />}
    </div>
  );
}

function Loaded(props: IVersionViewProps & { detail: IVersionDetail }) {
  const { detail, code, codeProblem, isComparing } = props;
  const { champion, columns, outputs, example, metrics, figures, files } = detail;
  const trans = useTrans();
  const canCompare = Boolean(champion?.run_id && detail.version.run_id);
  return (
    <>
      <VersionHeader detail={detail} onOpenEndpoint={props.onOpenEndpoint} />
      <div className="nbmlops-Line" role="group" aria-label={trans.__('Actions')}>
        {detail.has_notebook && (
          <SmallButton onClick={props.onOpenExecuted}>
            {trans.__('Open the notebook as it was')}
          </SmallButton>
        )}
        {canCompare && (
          <SmallButton disabled={isComparing} onClick={props.onCompare}>
            {trans.__("Diff with the champion's notebook")}
          </SmallButton>
        )}
        <SmallButton onClick={props.onDeploy}>{trans.__('Deploy…')}</SmallButton>
        <SmallButton onClick={props.onSetAlias}>{trans.__('Set alias…')}</SmallButton>
      </div>
      {detail.notes.map(note => (
        <div key={note} className="nbmlops-Notice" role="note">
          <p>{note}</p>
        </div>
      ))}
      {isComparing && (
        <p role="status">{trans.__("Comparing with the champion's notebook…")}</p>
      )}
      {codeProblem && <ProblemNotice problem={codeProblem} onRetry={props.onCompare} />}
      {code && champion && (
        <Section title={trans.__("What differs from the champion's notebook")}>
          <CodeDifference code={code} />
        </Section>
      )}
      <Section title={trans.__('Lineage')}>
        <LineageGraph {...props} />
      </Section>
      <Section
        title={trans.__('Metrics')}
        empty={trans.__('The run logged no metrics.')}
        isEmpty={metrics.length === 0}
      >
        <MetricsTable detail={detail} />
      </Section>
      <Section
        title={trans.__('Signature')}
        empty={trans.__(
          'The model was logged without a signature. Log it with rows that it takes: run.log_model(model, X).'
        )}
        isEmpty={columns.length === 0 && outputs.length === 0}
      >
        <SignatureTable columns={columns} outputs={outputs} />
      </Section>
      <Section
        title={trans.__('Input example')}
        empty={trans.__('No rows were stored with the model.')}
        isEmpty={!example}
      >
        <Example example={example} />
      </Section>
      {figures.length > 0 && (
        <Section title={trans.__('Figures')}>
          <Figures figures={figures} toUrl={props.toImageUrl} />
        </Section>
      )}
      <Section
        title={trans.__('Files')}
        empty={trans.__('The files of the model are not there.')}
        isEmpty={files.length === 0}
      >
        <Files files={files} />
      </Section>
    </>
  );
}

function Section(props: {
  title: string;
  empty?: string;
  isEmpty?: boolean;
  children: ReactNode;
}) {
  const { title, empty, isEmpty = false, children } = props;
  const id = useId();
  return (
    <section className="nbmlops-Stack" aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {isEmpty ? <p className="nbmlops-Fine">{empty}</p> : children}
    </section>
  );
}
