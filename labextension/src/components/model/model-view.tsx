import type {
  IComparison,
  IEndpoint,
  IListing,
  IModelVersion,
  IProblem,
  IRegisteredModel
} from '../../tokens';
import { SmallButton } from '../buttons';
import { ListingState } from '../listing-view';
import { ModelTags } from '../models-view';
import { ProblemNotice } from '../problem-notice';
import { useTrans } from '../trans';
import { VersionComparison } from './comparison';
import { type IVersionsTableProps, VersionsTable } from './versions-table';

const CHAMPION = 'champion';

export interface IModelViewProps extends Pick<
  IVersionsTableProps,
  | 'name'
  | 'selected'
  | 'layout'
  | 'onLayout'
  | 'onSelect'
  | 'onOpen'
  | 'onDeploy'
  | 'onSetAlias'
> {
  model: IRegisteredModel | null;
  versions: IListing<IModelVersion>;
  endpoints: readonly IEndpoint[];
  comparison: IComparison | null;
  problem: IProblem | null;
  onCompare: () => void;
  onEndComparison: () => void;
}

/** A registered model: all its versions, each held against the champion. */
export function ModelView(props: IModelViewProps) {
  const { name, model, versions, selected, comparison, problem, onCompare } = props;
  const { items, hasMore, isLoaded, isLoading } = versions;
  const trans = useTrans();
  const champion = items.find(({ aliases }) => aliases.includes(CHAMPION));
  const isReading = hasMore && isLoading;
  return (
    <>
      <header className="nbmlops-Stack">
        <div className="nbmlops-Line">
          <h1>{name}</h1>
          {model && <ModelTags tags={model.tags} />}
        </div>
        {model?.description && <p>{model.description}</p>}
        <div className="nbmlops-Line">
          {isLoaded && (
            <p role="status">
              {isReading
                ? trans.__('Reading… %1 versions so far', items.length)
                : trans._n('%1 version', '%1 versions', items.length)}
              {champion && ` · ${trans.__('champion: version %1', champion.version)}`}
            </p>
          )}
          <SmallButton
            className="nbmlops-mod-end"
            disabled={selected.length < 2}
            onClick={onCompare}
          >
            {selected.length < 2
              ? trans.__('Select two versions to compare')
              : trans.__('Compare %1 and %2', ...[...selected].sort((a, b) => a - b))}
          </SmallButton>
        </div>
        {problem && <ProblemNotice problem={problem} />}
        {comparison && (
          <VersionComparison
            comparison={comparison}
            versions={selected}
            onClose={props.onEndComparison}
          />
        )}
      </header>
      <ListingState
        className="nbmlops-Fill"
        listing={versions}
        empty={[
          trans.__('No versions yet.'),
          trans.__(
            'Fit a model in a %1 cell, then press “Register and deploy” in the toolbar of the notebook.',
            '%%track'
          )
        ]}
      >
        <VersionsTable {...props} versions={items} champion={champion} />
      </ListingState>
    </>
  );
}
