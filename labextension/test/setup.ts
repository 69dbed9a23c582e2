/** What browsers have and jsdom lacks. */
import { afterEach, vi } from 'vitest';
import { cleanup } from '@testing-library/react';

class Observer {
  observe = () => undefined;
  unobserve = () => undefined;
  disconnect = () => undefined;
}

vi.stubGlobal('ResizeObserver', Observer);
vi.stubGlobal('DragEvent', class extends Event {});
vi.stubGlobal('matchMedia', () => ({
  matches: false,
  addEventListener: () => undefined,
  removeEventListener: () => undefined
}));
vi.stubGlobal('requestIdleCallback', (then: () => void) => setTimeout(then, 0));
Object.assign(document, { queryCommandSupported: () => false });
// Long lists show what is in view.
Object.defineProperties(HTMLElement.prototype, {
  clientHeight: { get: () => 600 },
  clientWidth: { get: () => 300 },
  offsetHeight: { get: () => 30 }
});
HTMLElement.prototype.scrollIntoView = () => undefined;

afterEach(() => {
  cleanup();
});
