import type { TranslationBundle } from '@jupyterlab/translation';
import { checkIcon, copyIcon } from '@jupyterlab/ui-components';
import { useEffect, useState } from 'react';

const SHOWN_MS = 2000;

/** Copies a URL, and says so for a moment. */
export function CopyButton(props: {
  url: string;
  onCopy: (text: string) => void;
  trans: TranslationBundle;
}) {
  const { url, onCopy, trans } = props;
  const [isCopied, setCopied] = useState(false);
  useEffect(() => {
    const timer = isCopied ? setTimeout(() => setCopied(false), SHOWN_MS) : undefined;
    return () => clearTimeout(timer);
  }, [isCopied]);
  const Icon = isCopied ? checkIcon : copyIcon;
  const label = isCopied ? trans.__('Copied') : trans.__('Copy URL %1', url);
  return (
    <button
      type="button"
      className="nbmlops-IconButton"
      aria-label={label}
      title={label}
      onClick={() => {
        onCopy(url);
        setCopied(true);
      }}
    >
      <Icon.react tag="span" />
    </button>
  );
}
