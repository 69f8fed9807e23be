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
