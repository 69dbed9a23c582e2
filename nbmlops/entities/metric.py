"""Whether a small or a large value of a metric is better."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Annotated, Literal

from nbmlops.errors import UsageError

Mode = Literal["max", "min"]
Metric = Annotated[float, "may be NaN or infinite"]


def _words(*texts: str) -> frozenset[str]:
    return frozenset(word for text in texts for word in text.split())


_MIN = _words(
    "loss losses error errors err merror logloss mlogloss nll nllloss crossentropy",
    "xent ce bce deviance divergence kl kld hinge huber logcosh pinball tweedie brier",
    "crps regret cost perplexity ppl bpb bpc aic bic",
    "mse rmse rmsle msle mae medae mdae mape smape mdape wmape wape mase rmsse rmspe",
    "mspe rae rse rrse mad mre are ape mphe",  # of a regression
    "wer cer ter eer der fid kid lpips ece mce ace daviesbouldin",
    "fpr fnr fdr false latency duration runtime time",
)
_MAX = _words(
    "accuracy acc auc auroc auprc aucpr prauc rocauc gauc f1 f2 fbeta fscore fmeasure",
    "precision recall sensitivity specificity tpr tnr ppv npv predictivevalue ap map",
    "ndcg dcg mrr hit hits hitrate lift r2 rsquared kappa mcc corrcoef spearman",
    "spearmanr pearson pearsonr kendall kendalltau concordance cindex likelihood",
    "loglik elbo bleu rouge meteor chrf bertscore iou miou jaccard dice psnr ssim",
    "silhouette calinskiharabasz ari nmi ami homogeneity completeness vmeasure",
    "reward rewards return returns sharpe profit revenue",
)
_WEAK = _words("score scores true top1 top3 top5 top10")  # are added to any other
_SURELY_MAX = _words("d2 explained skill improvement reduction gain")
_NEGATED = _words("neg negative negated minus")
_NO_DIRECTION = _words(
    "std stdev stddev stderr sem variance threshold weight weights rank support"
)
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")


@lru_cache(maxsize=1024)
def mode_of(metric: str) -> Mode | None:
    """Return whether a metric is to be small or large, going by its name.

    >>> mode_of("val_logloss"), mode_of("valLoss"), mode_of("test/roc-auc")
    ('min', 'min', 'max')
    >>> mode_of("neg_mean_squared_error"), mode_of("brier_score"), mode_of("n_trees")
    ('max', 'min', None)
    """
    plain = unicodedata.normalize("NFKC", metric)
    words = [word.lower() for word in _WORD.findall(plain)]
    if "at" in words[1:]:  # recall at a false positive rate
        words = words[: words.index("at", 1)]
    return _mode_of(words)


def _mode_of(words: list[str]) -> Mode | None:
    if not _NO_DIRECTION.isdisjoint(words) and "explained" not in words:
        return None
    for position, word in enumerate(words):
        rest = words[position + 1 :]
        if word not in _NEGATED or rest[:1] == ["predictive"]:
            continue
        if (mode := _mode_of(rest)) == "min":
            return "max"
        if mode == "max":
            # Only a likelihood is negated to be small; else a class may be meant.
            is_likelihood = not {"likelihood", "loglik", "elbo"}.isdisjoint(rest)
            return "min" if is_likelihood else None
    # Words as they are, and those that a separator or a capital has cut: mAP, R2, mIoU.
    found = [
        "".join(words[start:end])
        for end in range(1, len(words) + 1)
        for start in range(end - 1, max(end - 4, -1), -1)
    ]
    if not _SURELY_MAX.isdisjoint(found):
        return "max"
    known = [word for word in found if word in _MIN or word in _MAX]
    if known:
        return "min" if known[-1] in _MIN else "max"  # the last word says what it is
    return "max" if not _WEAK.isdisjoint(found) else None


def parse_best(text: str) -> tuple[str, Mode | None]:
    """Return the metric and the mode of ``METRIC``, ``METRIC:min`` or ``METRIC:max``.

    >>> parse_best("auc"), parse_best("auc:min"), parse_best("area")
    (('auc', 'max'), ('auc', 'min'), ('area', None))
    """
    name, colon, given = text.rpartition(":")
    if colon and given in ("min", "max"):
        return name, "min" if given == "min" else "max"
    return text, mode_of(text)


def unknown_mode(metric: str, *, small: str, large: str) -> UsageError:
    """Return the error of a metric whose name does not show its mode."""
    return UsageError(
        f"The name {metric!r} does not tell whether a small or a large value is "
        "better.",
        fix=f"Say so: {small} or {large}.",
    )
