import { Clipboard } from '@jupyterlab/apputils';
import { Button, checkIcon, copyIcon, type LabIcon } from '@jupyterlab/ui-components';
import { type ButtonHTMLAttributes, useEffect, useState } from 'react';

import { useTrans } from './trans';

type IButtonProps = ButtonHTMLAttributes<HTMLButtonElement>;

const COPIED_MS = 2000;

/** A button in a list or a bar. */
export function SmallButton({ className = '', ...props }: IButtonProps) {
  return (
    <Button type="button" small {...props} className={`nbmlops-Button ${className}`} />
  );
}

/** A button below a dialog's body. */
export function DialogButton({ className = '', ...props }: IButtonProps) {
  const classes = `jp-Dialog-button jp-mod-styled ${className}`;
  return <button type="button" {...props} className={classes} />;
}

/** A button that reads as a link. */
export function LinkButton(props: IButtonProps) {
  return <button type="button" {...props} className="nbmlops-Link" />;
}

export function IconButton(props: {
  icon: LabIcon;
  label: string;
  onClick: () => void;
}) {
  const { icon: Icon, label, onClick } = props;
  return (
    <Button
      type="button"
      minimal
      small
      aria-label={label}
      title={label}
      onClick={onClick}
    >
      <Icon.react tag="span" />
    </Button>
  );
}

/** Copies a URL, and says so for a moment. */
export function CopyButton({ url }: { url: string }) {
  const trans = useTrans();
  const [isCopied, setCopied] = useState(false);
  useEffect(() => {
    const timer = isCopied ? setTimeout(() => setCopied(false), COPIED_MS) : undefined;
    return () => clearTimeout(timer);
  }, [isCopied]);
  return (
    <IconButton
      icon={isCopied ? checkIcon : copyIcon}
      label={isCopied ? trans.__('Copied') : trans.__('Copy URL %1', url)}
      onClick={() => {
        Clipboard.copyToSystem(url);
        setCopied(true);
      }}
    />
  );
}
