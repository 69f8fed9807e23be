"""The columns of the weight reports' tables, each with its meaning in one sentence."""

from __future__ import annotations

from hubapp.results.reports import TableColumn

LAYER = TableColumn(key="layer", title="Layer", look="code")
KIND = TableColumn(key="kind", title="Kind", look="text")
DEPTH = TableColumn(
    key="depth", title="Depth", digits=2, meaning="0 is the first layer, 1 the last; convolutions and matrices apart."
)
MATRICES = (
    LAYER,
    KIND,
    DEPTH,
    TableColumn(key="rows", title="N", look="whole", meaning="The larger side of the matrix."),
    TableColumn(key="columns", title="M", look="whole", meaning="The smaller side of the matrix."),
    TableColumn(
        key="eigenvalues",
        title="Eigenvalues",
        look="whole",
        meaning="How many λ = s² there are; the taps of a convolution are matrices of their own, pooled.",
    ),
    TableColumn(
        key="alpha",
        title="α",
        digits=2,
        meaning="Exponent of the power law of the largest eigenvalues: 2 to 6 is what trained layers show.",
    ),
    TableColumn(
        key="ks_distance",
        title="D",
        meaning="Kolmogorov and Smirnov's distance between the tail and its power law: near 0 it fits.",
    ),
    TableColumn(key="xmin", title="λ min", meaning="The eigenvalue from which on the power law was fitted."),
    TableColumn(key="sigma", title="σ of α", meaning="Standard error of α: (α − 1) / √n over the n in the tail."),
    TableColumn(
        key="stable_rank", title="Stable rank", digits=1, meaning="Σλ / λ max: how many directions carry the weight."
    ),
    TableColumn(
        key="matrix_rank", title="Rank", look="whole", meaning="Singular values that are not zero by rounding."
    ),
    TableColumn(key="rank_loss", title="Rank loss", look="whole", meaning="Singular values that are zero by rounding."),
    TableColumn(
        key="entropy",
        title="Entropy",
        meaning="Entropy of the shares λ / Σλ over that of equal shares: 1 where no direction stands out.",
    ),
    TableColumn(key="frobenius_norm", title="Frobenius", meaning="Root of the sum of the squared weights, as stored."),
    TableColumn(
        key="spectral_norm", title="λ max", meaning="The largest eigenvalue: the square of the largest singular value."
    ),
    TableColumn(key="log_norm", title="log norm", meaning="log10 of Σλ."),
    TableColumn(key="log_spectral_norm", title="log λ max", meaning="log10 of the largest eigenvalue."),
    TableColumn(key="alpha_weighted", title="α weighted", meaning="α · log10 λ max: α and scale in one number."),
    TableColumn(key="log_alpha_norm", title="log α norm", meaning="log10 of Σ λ^α."),
    TableColumn(
        key="mp_softrank",
        title="MP soft rank",
        meaning="Upper edge of the random bulk over λ max: 1 where nothing stands out of a random matrix.",
    ),
    TableColumn(
        key="sigma_mp",
        title="σ MP",
        meaning="Spread of the random matrix whose law fits the bulk (eigenvalues of mean 1).",
    ),
    TableColumn(key="num_spikes", title="Spikes", look="whole", meaning="Eigenvalues above the bulk."),
    TableColumn(
        key="warning", title="Warning", look="text", meaning="Over-trained where α < 2, under-trained where α > 6."
    ),
    TableColumn(key="note", title="Note", look="text"),
)
LOW_RANK = (
    LAYER,
    KIND,
    TableColumn(key="energy", title="Energy", meaning="The share of the squared norm that is kept."),
    TableColumn(key="rank", title="Rank", look="whole", meaning="The least rank that keeps it."),
    TableColumn(
        key="relative_error",
        title="Relative error",
        meaning="‖W − W of that rank‖ / ‖W‖: the least that any matrix of that rank leaves.",
    ),
    TableColumn(key="parameters", title="In factors", look="whole", meaning="Parameters of the two factors."),
    TableColumn(key="parameters_full", title="In full", look="whole", meaning="Parameters of the matrix itself."),
    TableColumn(key="saves", title="Saves", look="flag", meaning="Whether the factors are smaller."),
)
DIFFERENCE = (
    LAYER,
    KIND,
    DEPTH,
    TableColumn(
        key="relative_norm", title="Relative norm", digits=4, meaning="‖W − base‖ / ‖base‖: how far the layer moved."
    ),
    TableColumn(
        key="cosine", title="Cosine", digits=4, meaning="Of the flattened weights: 1 where only scale changed."
    ),
    TableColumn(key="sign_agreement", title="Signs equal", digits=4, meaning="Share of weights that kept their sign."),
    TableColumn(key="changed_share", title="Changed", digits=4, meaning="Share of weights that differ at all."),
    TableColumn(
        key="stable_rank_of_difference",
        title="Stable rank of the difference",
        digits=1,
        meaning="‖Δ‖² / σ₁²: how many directions carry the change.",
    ),
    TableColumn(key="rank_at_90", title="Rank at 90%", look="whole", meaning="Directions that hold 90% of the change."),
    TableColumn(key="rank_at_99", title="Rank at 99%", look="whole", meaning="Directions that hold 99% of the change."),
    TableColumn(
        key="rank",
        title="Rank",
        look="whole",
        meaning="Directions that stand above the rounding of the stored numbers.",
    ),
    TableColumn(
        key="is_low_rank",
        title="Low rank",
        look="flag",
        meaning="Whether all but a few directions are rounding, as a merged LoRA leaves it.",
    ),
    TableColumn(key="note", title="Note", look="text"),
)
EXPERTS = (
    TableColumn(key="layer", title="Layer", look="code"),
    DEPTH,
    TableColumn(key="experts", title="Experts", look="whole"),
    TableColumn(
        key="effective_experts",
        title="Effective experts",
        digits=1,
        meaning="As many as there are where all are orthogonal, 1 where all are equal up to scale.",
    ),
    TableColumn(
        key="mean_cosine", title="Mean cosine", meaning="Over pairs of whole experts: 0 has nothing in common."
    ),
    TableColumn(key="max_cosine", title="Largest cosine", meaning="Of the two experts that are most alike."),
    TableColumn(key="dead_experts", title="Dead", look="whole", meaning="Experts whose weights are all zero."),
    TableColumn(key="router", title="Router", look="code", meaning="The tensor that chooses experts."),
    TableColumn(key="router_norm_mean", title="Router norm", meaning="Mean length of the router's vectors."),
    TableColumn(
        key="router_norm_spread",
        title="Spread",
        meaning="Standard deviation of those lengths over their mean: near 0 no expert is preferred by its length.",
    ),
    TableColumn(key="shared_experts", title="Shared", look="whole", meaning="Tensors that every input goes through."),
    TableColumn(key="layout", title="Layout", look="text", meaning="Fused: one tensor holds all experts."),
)
SPARSITY = (
    LAYER,
    KIND,
    DEPTH,
    TableColumn(key="values", title="Weights", look="whole"),
    TableColumn(key="zero_share", title="Zero", meaning="Share of weights that are exactly zero."),
    TableColumn(key="near_zero_share", title="Near zero", meaning="Share of weights below 1% of the tensor's largest."),
    TableColumn(
        key="two_of_four",
        title="2 of 4",
        meaning="Share of groups of four inputs of which at most two are not zero, as sparse tensor cores want it.",
    ),
    TableColumn(key="dead_rows", title="Dead outputs", look="whole", meaning="Outputs with weights near zero only."),
    TableColumn(key="dead_columns", title="Dead inputs", look="whole", meaning="Inputs with weights near zero only."),
)
