import type { ILiveStep, IPipelineStep, IPipelineView, ILiveRun } from '../tokens';
import type { ShownState } from './live-state';

/** One run of a step as it is shown: what became of it, else what is planned. */
export interface IShownUnit {
  name: string;
  state: ShownState;
  why: string;
  run_id: string | null;
  duration_s: number;
  expected_s: number | null;
  cells: ILiveStep['cells'];
  has_notebook: boolean;
  is_selected: boolean;
  /** Whether the run that is watched says so, and not the plan. */
  isLive: boolean;
}

export interface IShownStep {
  step: IPipelineStep;
  state: ShownState;
  why: string;
  duration_s: number;
  units: IShownUnit[];
}

// Of the runs of a grid the first of these is the state of the step.
const LOUDEST: ShownState[] = [
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
 * While a run goes on it tells; else the plan does, and the last run adds how long a
 * result took and what failed, as long as the plan does not say otherwise.
 */
export function toShown(view: IPipelineView, run: ILiveRun | null): IShownStep[] {
  const isRunning = run?.status === 'RUNNING';
  const live = new Map(run?.steps.map(step => [step.step, step]));
  return view.steps.map(step => {
    const units = view.plan
      .filter(plan => plan.step === step.name || plan.step.startsWith(`${step.name}[`))
      .map((plan): IShownUnit => {
        const seen = live.get(plan.step);
        const ended = seen?.state === 'failed' || seen?.state === 'stopped';
        const isKept = plan.state === 'cached' && seen?.run_id === plan.run_id;
        if (seen && (isRunning || (ended && plan.state !== 'cached') || isKept)) {
          const { state, why, ...rest } = seen;
          return { ...rest, name: plan.step, state, why, isLive: true };
        }
        const { state, why, run_id } = plan;
        return {
          name: plan.step,
          state,
          why,
          run_id,
          duration_s: 0,
          expected_s: null,
          cells: null,
          has_notebook: run_id !== null,
          is_selected: false,
          isLive: false
        };
      });
    const state = LOUDEST.find(s => units.some(unit => unit.state === s)) ?? 'open';
    const told = units.find(unit => unit.state === state);
    return {
      step,
      state,
      why: told?.why ?? '',
      duration_s: units.reduce((sum, unit) => sum + unit.duration_s, 0),
      units
    };
  });
}
