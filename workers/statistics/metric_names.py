"""The names of the metrics of classifiers, for forms, pages and figures. Costs no numerics."""

from __future__ import annotations

METRIC_TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro-F1",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "map": "mAP",
    "brier": "Brier score",
    "ece": "Calibration error (ECE)",
}
PROTOCOL_TITLES = {
    "ndcg": "nDCG",
    "mrr": "MRR",
    "mse": "MSE",
    "mae": "MAE",
    "mean_accuracy": "Mean accuracy, Ā",
    "last_accuracy": "Accuracy after the last stage",
    "cosine_spearman": "Spearman of cosine and gold",
    "cosine_pearson": "Pearson of cosine and gold",
}
METHOD_TITLES = {
    "streaming_lda": "Streaming LDA",
    "random_projection": "Ridge on random projections",
    "zero_shot": "The model's own forecast",
    "ridge_on_features": "Ridge on its features",
    "ridge_on_context": "Ridge on the context",
    "last_value": "Last value",
    "seasonal": "Last season",
    "context_mean": "Mean of the context",
}
LOWER_IS_BETTER = frozenset({"brier", "ece"})
METRIC_WORDS = {
    "accuracy": "share of test rows whose most probable class is theirs",
    "balanced_accuracy": "plain mean over the classes of the share of their test rows named right",
    "macro_f1": "plain mean over the classes of F1; classes neither present nor named are left out",
    "auroc": "two classes: ROC area of the second; more: macro one-vs-rest, plain mean over classes; ties one half",
    "auprc": "average precision; two classes: of the second; more: plain mean over classes, one against the rest",
    "map": "mean over all classes of average precision, one against the rest, also where there are two",
    "brier": "two classes: mean squared error of the second's probability, 0 to 1; more: summed over classes, 0 to 2",
    "ece": (
        "expected calibration error: 15 bins of equal width over the highest probability, open below and closed above; "
        "mean over rows of |share right − mean probability| of the bin"
    ),
}


def title_of(metric: str) -> str:
    """What a page calls a metric of heads or protocols: a known title, "ndcg@10" as nDCG@10, else its name in words."""
    name, at, cut = metric.partition("@")
    known = METRIC_TITLES.get(name) or PROTOCOL_TITLES.get(name) or name.replace("_", " ").capitalize()
    return f"{known}{at}{cut}"
