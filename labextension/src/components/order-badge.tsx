import type { TranslationBundle } from '@jupyterlab/translation';

/** Tells of a run that its cells ran out of order; nothing of any other. */
export function OrderBadge(props: { note: string | null; trans: TranslationBundle }) {
  const { note, trans } = props;
  if (!note) {
    return null;
  }
  return (
    <span className="nbmlops-Badge" title={note}>
      {trans.__('out of order')}
      <span className="nbmlops-Hidden">: {note}</span>
    </span>
  );
}
