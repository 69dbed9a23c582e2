import pytest

from nbmlops.entities import mode_of, parse_best

SMALL = (
    "loss val_loss valLoss train-loss eval/loss loss/val test.loss train_loss_epoch "
    "best_val_loss logloss log_loss val_logloss LogLoss binary_logloss focal_loss "
    "dice_loss auc_loss hamming_loss nll nllLoss neg_log_likelihood crossEntropy "
    "cross_entropy perplexity ppl kl_divergence deviance poisson_deviance brier "
    "brier_score mse rmse RMSE rmsle mae mape sMAPE smape mdape MdAPE "
    "mean_squared_error rootMeanSquaredError max_error cv_rmse error err "
    "test_error_rate top_5_error merror wer cer ece fid fpr false_negative_rate "
    "fpr_at_95_tpr davies_bouldin pinball crps latency_ms mean_fit_time score_time"
)
LARGE = (
    "acc accuracy val_acc valAcc test/accuracy balanced_accuracy top_5_accuracy auc "
    "roc_auc ROC-AUC rocAuc aucpr average_precision f1 F1 f1-score f1_macro r2 R2 "
    "val_R2Score r\N{SUPERSCRIPT TWO} score best_cv_score precision recall "
    "recall_at_10 map mAP map50 ndcg ndcg_5 nDCG bleu BLEU-4 rougeL iou mIoU dice "
    "mcc kappa cohen_kappa matthews_corrcoef explained_variance d2_log_loss_score "
    "brier_skill_score neg_log_loss neg_mean_squared_error mean_test_neg_log_loss "
    "neg_brier_score negative_predictive_value log_likelihood silhouette_score "
    "recall_at_fpr_1 episode_reward"
)
UNKNOWN = (
    "x area n_trees my_metric lr epoch p95 quantile std_test_score accuracy_std "
    "rank_test_score score_threshold loss_weight neg_recall negative_auc explosions "
    "lossy mapper accent"
)


@pytest.mark.parametrize(
    ("text", "mode"), [(SMALL, "min"), (LARGE, "max"), (UNKNOWN, None)]
)
def test_the_usual_names_and_spellings_show_which_value_is_better(text, mode):
    names = text.split()
    assert {name: mode_of(name) for name in names} == dict.fromkeys(names, mode)
    assert len(f"{SMALL} {LARGE}".split()) > 110


@pytest.mark.parametrize("prefix", ["train_", "val_", "test/", "eval.", "best_", "cv-"])
def test_a_prefix_changes_nothing(prefix):
    for name in ("logloss", "roc_auc", "neg_log_loss", "mAP", "area"):
        assert mode_of(prefix + name) == mode_of(name)


def test_a_given_mode_wins_over_the_name():
    assert parse_best("auc") == ("auc", "max")
    assert parse_best("auc:min") == ("auc", "min")
    assert parse_best("area:max") == ("area", "max")
    assert parse_best("a:b") == ("a:b", None)
    assert parse_best("loss:max:min") == ("loss:max", "min")
