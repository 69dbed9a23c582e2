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

import type { ICellProgress, ILiveStep } from '../tokens';

/** What a step shows: what became of it, else what a run would do. */
export type ShownState = ILiveStep['state'] | 'run' | 'open';

const ICONS: Record<ShownState, LabIcon> = {
  waiting: circleEmptyIcon,
  run: circleEmptyIcon,
  open: circleEmptyIcon,
  cached: historyIcon,
  running: refreshIcon,
  done: checkIcon,
  failed: errorIcon,
  stopped: stopIcon,
  'not run': circleEmptyIcon
};

/** A state by icon and word. */
export function LiveStateMark(props: { state: ShownState; trans: TranslationBundle }) {
  const { state, trans } = props;
  const Icon = ICONS[state];
  return (
    <span className="nbmlops-State nbmlops-LiveState" data-state={state}>
      <Icon.react tag="span" />
      {stateLabel(state, trans)}
    </span>
  );
}

/** How far a notebook has come, by its cells. */
export function CellBar(props: {
  cells: ICellProgress;
  label: string;
  trans: TranslationBundle;
}) {
  const { cells, label, trans } = props;
  return (
    <div className="nbmlops-Cells">
      <progress
        value={cells.n_done}
        max={Math.max(1, cells.n_cells)}
        aria-label={label}
      />
      <span>
        {trans.__(
          'cell %1 of %2',
          Math.min(cells.n_done + 1, cells.n_cells),
          cells.n_cells
        )}
      </span>
    </div>
  );
}

/** The seconds since a step was read as running for so long, ticking. */
export function Elapsed(props: {
  duration_s: number;
  expected_s: number | null;
  isRunning: boolean;
  trans: TranslationBundle;
}) {
  const { duration_s, expected_s, isRunning, trans } = props;
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
  const took = formatDuration(duration_s + more_s);
  return (
    <span className="nbmlops-Duration">
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
  if (whole < 60) {
    return `${whole} s`;
  }
  const minutes = Math.floor(whole / 60);
  return minutes < 60
    ? `${minutes} min ${whole % 60} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function stateLabel(state: ShownState, trans: TranslationBundle): string {
  switch (state) {
    case 'waiting':
      return trans.__('waiting');
    case 'cached':
      return trans.__('cached');
    case 'running':
      return trans.__('running');
    case 'done':
      return trans.__('done');
    case 'failed':
      return trans.__('failed');
    case 'stopped':
      return trans.__('stopped');
    case 'not run':
      return trans.__('not run');
    case 'run':
      return trans.__('will run');
    case 'open':
      return trans.__('may run');
  }
}
