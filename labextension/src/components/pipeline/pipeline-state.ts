import type { ILiveStep, IPipelineStep, IPipelineView, ILiveRun } from '../../tokens';
import type { ShownState } from './live-state';

/** A run of a step as it is shown: what became of it, else what is planned. */
export interface IShownRun extends Omit<ILiveStep, 'step' | 'state'> {
  name: string;
  state: ShownState;
  /** Whether this comes from the live run, not from the plan. */
  isLive: boolean;
}

export interface IShownStep {
  step: IPipelineStep;
  state: ShownState;
  why: string;
  duration_s: number;
  runs: IShownRun[];
}

// The state of a step is the first of these that a run of its grid has.
const STATES: ShownState[] = [
  'failed',
  'running',
  'stopped',
  'waiting',
  'run',
  'open',
  'not run',
  'done',
  'cached'
];

/**
 * Return what to show of each step.
 *
 * A live run is shown before the plan. When none is, the plan is, and the last run adds
 * how long a result took and what failed, unless the plan says otherwise.
 */
export function toShown(view: IPipelineView, run: ILiveRun | null): IShownStep[] {
  const isRunning = run?.status === 'RUNNING';
  const live = new Map(run?.steps.map(step => [step.step, step]));
  return view.steps.map(step => {
    const runs = view.plan
      .filter(plan => plan.step === step.name || plan.step.startsWith(`${step.name}[`))
      .map((plan): IShownRun => {
        const seen = live.get(plan.step);
        const ended = seen?.state === 'failed' || seen?.state === 'stopped';
        const isKept = plan.state === 'cached' && seen?.run_id === plan.run_id;
        if (seen && (isRunning || (ended && plan.state !== 'cached') || isKept)) {
          return { ...seen, name: plan.step, isLive: true };
        }
        return {
          ...plan,
          name: plan.step,
          duration_s: 0,
          expected_s: null,
          cells: null,
          has_notebook: plan.run_id !== null,
          is_selected: false,
          isLive: false
        };
      });
    const state = STATES.find(s => runs.some(each => each.state === s)) ?? 'open';
    return {
      step,
      state,
      why: runs.find(each => each.state === state)?.why ?? '',
      duration_s: runs.reduce((sum, { duration_s }) => sum + duration_s, 0),
      runs
    };
  });
}
