import { Dialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import type { ReactElement } from 'react';

import { Trans } from '../components/trans';

const FOCUSABLE = 'button:enabled, input:enabled, textarea:enabled, [tabindex="0"]';

/** A dialog whose body brings its own buttons, which change as it goes on. */
export class FlowDialog extends Dialog<void> {
  constructor(title: string, content: ReactElement, trans: TranslationBundle) {
    const body = ReactWidget.create(
      <Trans.Provider value={trans}>{content}</Trans.Provider>
    );
    super({ title, body, buttons: [], hasClose: true });
    this.addClass('nbmlops-Dialog');
    this.node.ariaLabel = title;
  }

  protected override onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    document.addEventListener('keydown', this, true);
    const content = this.node.querySelector<HTMLElement>('.jp-Dialog-content');
    content?.setAttribute('tabindex', '-1');
    content?.focus();
  }

  protected override onAfterDetach(msg: Message): void {
    document.removeEventListener('keydown', this, true);
    super.onAfterDetach(msg);
  }

  /** Enter and the arrows belong to the body; Tab stays inside. */
  override handleEvent(event: Event): void {
    if (event.type === 'focus' && !this.node.contains(event.target as Node)) {
      this._focusables()[0]?.focus();
      return;
    }
    if (event instanceof KeyboardEvent && event.type === 'keydown') {
      if (event.key === 'Tab' && !event.defaultPrevented) {
        this._wrap(event);
      }
      if (event.key !== 'Escape') {
        return;
      }
    }
    super.handleEvent(event);
  }

  private _wrap(event: KeyboardEvent): void {
    const all = this._focusables();
    const [from, to] = event.shiftKey ? [all[0], all.at(-1)] : [all.at(-1), all[0]];
    const active = document.activeElement;
    if (active === from || !this.node.contains(active)) {
      event.preventDefault();
      to?.focus();
    }
  }

  private _focusables(): HTMLElement[] {
    return [...this.node.querySelectorAll<HTMLElement>(FOCUSABLE)];
  }
}
