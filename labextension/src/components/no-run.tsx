import type { TranslationBundle } from '@jupyterlab/translation';

const EXAMPLE = `%%track
model = LogisticRegression().fit(X, y)`;

/** Says that a notebook has no run with a model, and how to make one. */
export function NoRun(props: { notebook: string; trans: TranslationBundle }) {
  const { notebook, trans } = props;
  return (
    <div className="nbmlops-Form" role="alert">
      <p>{trans.__('No run of %1 has a model yet.', notebook)}</p>
      <p>
        {trans.__(
          'Run %1 in a cell, fit a model in a %2 cell, then try again:',
          '%load_ext nbmlops',
          '%%track'
        )}
      </p>
      <pre className="nbmlops-Code" tabIndex={0}>
        {EXAMPLE}
      </pre>
    </div>
  );
}
