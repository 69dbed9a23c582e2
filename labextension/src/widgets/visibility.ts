import { type Message, MessageLoop } from '@lumino/messaging';
import type { Widget } from '@lumino/widgets';

const SHOWN_OR_HIDDEN = ['after-attach', 'after-show', 'after-hide'];

/** Read a model's events only while its widget shows: browsers allow few streams. */
export function followWhileVisible(
  widget: Widget,
  model: { resume(): void; pause(): void }
): void {
  const update = () => {
    if (widget.isVisible && !document.hidden) {
      model.resume();
    } else {
      model.pause();
    }
  };
  MessageLoop.installMessageHook(widget, (_: unknown, { type }: Message) => {
    if (SHOWN_OR_HIDDEN.includes(type)) {
      queueMicrotask(update); // The widget handles the message after its hooks.
    }
    return true;
  });
  document.addEventListener('visibilitychange', update);
  widget.disposed.connect(() => {
    document.removeEventListener('visibilitychange', update);
    model.pause();
  });
}
