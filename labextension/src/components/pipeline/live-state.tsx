import type { TranslationBundle } from '@jupyterlab/translation';
import {
  checkIcon,
  circleEmptyIcon,
  errorIcon,
  historyIcon,
  type LabIcon,
  refreshIcon,
  stopIcon
} from '@jupyterlab/ui-components';
import { useEffect, useState } from 'react';

import type { ICellProgress, ILiveStep } from '../../tokens';
import { useTrans } from '../trans';

/** The state of a step: what became of it, else what a run would do. */
export type ShownState = ILiveStep['state'] | 'run' | 'open';

const ICONS: Partial<Record<ShownState, LabIcon>> = {
  cached: historyIcon,
  running: refreshIcon,
  done: checkIcon,
  failed: errorIcon,
  stopped: stopIcon
};

/** A state by icon and word. */
export function LiveStateMark({ state }: { state: ShownState }) {
  const Icon = ICONS[state] ?? circleEmptyIcon;
  return (
    <span className="nbmlops-State" data-state={state}>
      <Icon.react tag="span" className="nbmlops-Icon" />
      {stateLabel(state, useTrans())}
    </span>
  );
}

/** How far a notebook has come, by its cells. */
export function CellBar({ cells, label }: { cells: ICellProgress; label: string }) {
  const { n_done, n_cells } = cells;
  const trans = useTrans();
  return (
    <div className="nbmlops-Line nbmlops-Fine">
      <progress value={n_done} max={Math.max(1, n_cells)} aria-label={label} />
      <span>{trans.__('cell %1 of %2', Math.min(n_done + 1, n_cells), n_cells)}</span>
    </div>
  );
}

/** Seconds that a step took, ticking while it runs; nothing for a step not run. */
export function Elapsed(props: {
  duration_s: number;
  expected_s: number | null;
  isRunning: boolean;
}) {
  const { duration_s, expected_s, isRunning } = props;
  const trans = useTrans();
  const [more_s, setMore] = useState(0);
  useEffect(() => {
    setMore(0);
    if (!isRunning) {
      return;
    }
    const began = Date.now();
    const timer = setInterval(() => setMore((Date.now() - began) / 1000), 1000);
    return () => clearInterval(timer);
  }, [duration_s, isRunning]);
  if (duration_s === 0) {
    return null;
  }
  const took = formatDuration(duration_s + more_s);
  return (
    <span className="nbmlops-Fine">
      {isRunning && expected_s !== null
        ? trans.__('%1 of about %2', took, formatDuration(expected_s))
        : took}
    </span>
  );
}

/** Return seconds as a user reads them: 0.4 s, 12 s, 3 min 5 s, 2 h 3 min. */
export function formatDuration(seconds: number): string {
  if (seconds < 10) {
    return `${seconds.toFixed(1)} s`;
  }
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  if (minutes < 1) {
    return `${whole} s`;
  }
  return minutes < 60
    ? `${minutes} min ${whole % 60} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function stateLabel(state: ShownState, trans: TranslationBundle): string {
  const labels: Record<ShownState, string> = {
    waiting: trans.__('waiting'),
    cached: trans.__('cached'),
    running: trans.__('running'),
    done: trans.__('done'),
    failed: trans.__('failed'),
    stopped: trans.__('stopped'),
    'not run': trans.__('not run'),
    run: trans.__('will run'),
    open: trans.__('may run')
  };
  return labels[state];
}
