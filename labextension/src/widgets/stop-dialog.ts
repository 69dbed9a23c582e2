import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

/** Ask whether an endpoint is to be stopped. */
export async function confirmStop(
  endpoint: string,
  trans: TranslationBundle
): Promise<boolean> {
  const { button } = await showDialog({
    title: trans.__('Stop endpoint %1?', endpoint),
    body: trans.__(
      'It will answer no more requests. The model version stays registered.'
    ),
    buttons: [
      Dialog.cancelButton({ label: trans.__('Cancel') }),
      Dialog.warnButton({ label: trans.__('Stop') })
    ]
  });
  return button.accept;
}
