"""The heads of this room: classifiers on frozen features, one file and one entry each. Free of torch, scikit-learn."""

from __future__ import annotations

from pydantic import Field

from workers.kit import HEADS, HeadEntry, Spec

C_GRID = (1e-8, 1e-6, 1e-4, 1e-2, 1e-1, 1.0, 1e2, 1e4)
COARSE_C = (1e6, 1e4, 1e2, 1.0, 1e-2, 1e-4, 1e-6)
LAMBDAS = tuple(10.0**power for power in range(-8, 9))
SHARPNESS = tuple(2.0**power for power in range(9))
NEIGHBOURS = (1, 3, 5, 10, 20, 50)
ALPHAS = tuple(round(0.5 * step, 1) for step in range(1, 21))
BETAS = tuple(round(0.5 * step, 1) for step in range(1, 21))

Factors = Field(default=SHARPNESS, min_length=1, title="Factors before the softmax")


class LogisticParams(Spec):
    """Parameters of the head "logistic": the grid of inverse penalties, from strong to weak penalty."""

    c_grid: tuple[float, ...] = Field(default=C_GRID, min_length=1, title="Grid of C")


class SweepParams(Spec):
    """Parameters of the head "logistic_sweep": coarse values of C, and halvings about the best."""

    coarse: tuple[float, ...] = Field(default=COARSE_C, min_length=1, title="Coarse values of C")
    halvings: int = Field(default=8, ge=0, le=30, title="Halvings")


class CosineParams(Spec):
    """Parameters of the heads that read cosines to class means."""

    sharpness: tuple[float, ...] = Factors


class RidgeParams(Spec):
    """Parameters of the head "ridge": penalties, and factors of its values before the softmax."""

    lambdas: tuple[float, ...] = Field(default=LAMBDAS, min_length=1, title="Grid of λ")
    sharpness: tuple[float, ...] = Factors


class MomentsParams(RidgeParams):
    """Parameters of the head "moments": those of ridge, and how many principal components of the tokens it keeps."""

    components: int = Field(default=24, ge=1, le=256, title="Principal components of the tokens")


class DiscriminantParams(Spec):
    """Parameters of the head "lda": none means Ledoit and Wolf's shrinkage."""

    shrinkage: float | None = Field(default=None, gt=0.0, le=1.0, title="Shrinkage (empty: estimated)")


class NeighboursParams(Spec):
    """Parameters of the head "knn"."""

    neighbours: tuple[int, ...] = Field(default=NEIGHBOURS, min_length=1, title="Numbers of neighbours")


class BoostedTreesParams(Spec):
    """Parameters of the head "lightgbm": EHRSHOT's grid; −1 means no bound on the depth."""

    learning_rates: tuple[float, ...] = Field(default=(0.02, 0.1, 0.5), min_length=1, title="Learning rates")
    max_depths: tuple[int, ...] = Field(default=(3, 6, -1), min_length=1, title="Depths")
    num_leaves: tuple[int, ...] = Field(default=(10, 25, 100), min_length=1, title="Leaves")
    rounds: int = Field(default=100, ge=1, le=2000, title="Rounds")


class RandomForestParams(Spec):
    """Parameters of the head "random_forest": EHRSHOT's grid."""

    max_depths: tuple[int, ...] = Field(default=(3, 5, 10, 20, 50), min_length=1, title="Depths")
    trees: tuple[int, ...] = Field(default=(10, 20, 50, 100, 300), min_length=1, title="Trees")


class TipAdapterParams(Spec):
    """Parameters of the head "tip_adapter": weights of the cache and how fast likeness falls off."""

    alphas: tuple[float, ...] = Field(default=ALPHAS, min_length=1, title="α: weight of the labelled rows")
    betas: tuple[float, ...] = Field(default=BETAS, min_length=1, title="β: sharpness of likeness")


class NMTuneParams(Spec):
    """Parameters of the head "nmtune": the authors' training."""

    epochs: int = Field(default=30, ge=1, le=1000, title="Epochs")
    learning_rate: float = Field(default=1e-3, gt=0.0, le=1.0, title="Learning rate")
    width: int = Field(default=4, ge=1, le=16, title="Hidden width in multiples of the features")


class MomentProbingParams(Spec):
    """Parameters of the head "moment_probing"."""

    epochs: int = Field(default=50, ge=1, le=1000, title="Epochs")
    learning_rate: float = Field(default=1e-3, gt=0.0, le=1.0, title="Learning rate")
    hidden: int = Field(default=512, ge=28, le=2048, multiple_of=4, title="Projected dimensions, of four heads")


HEADS.add(
    HeadEntry(
        name="logistic",
        title="Logistic regression",
        meaning="A linear classifier fitted on the few labels alone; its penalty is chosen on validation labels.",
        target="workers.fewshot.heads.logistic:LogisticHead",
        params=LogisticParams,
        paper="Wornow et al., NeurIPS 2023, arXiv:2307.02028",
        cost="medium",
    )
)
HEADS.add(
    HeadEntry(
        name="logistic_sweep",
        title="Logistic regression, CLIP's sweep",
        meaning="The linear probe of CLIP: seven penalties, then halvings around the best by validation accuracy.",
        target="workers.fewshot.heads.logistic_sweep:LogisticSweepHead",
        params=SweepParams,
        paper="Radford et al., ICML 2021, arXiv:2103.00020; Zhou et al., IJCV 2022, arXiv:2109.01134",
        cost="medium",
    )
)
HEADS.add(
    HeadEntry(
        name="nearest_class_mean",
        title="Nearest class mean",
        meaning="Each class is the mean of its labelled features; a row belongs to the nearest mean (ProtoNet's rule).",
        target="workers.fewshot.heads.nearest_class_mean:NearestClassMeanHead",
        paper="Snell et al., NeurIPS 2017, arXiv:1703.05175",
        extends="rows",
    )
)
HEADS.add(
    HeadEntry(
        name="cosine_class_mean",
        title="Cosine to class means",
        meaning="Each class is the mean of its labelled features; a row belongs to the mean with the largest cosine.",
        target="workers.fewshot.heads.cosine_class_mean:CosineClassMeanHead",
        params=CosineParams,
        paper="Zhou et al., IJCV 2024, arXiv:2303.07338 (SimpleCIL)",
        extends="rows",
    )
)
HEADS.add(
    HeadEntry(
        name="normalised_class_mean",
        title="Nearest mean of normalised features",
        meaning="Nearest class mean among features that were first divided by their length.",
        target="workers.fewshot.heads.normalised_class_mean:NormalisedClassMeanHead",
        params=CosineParams,
        paper="Rebuffi et al., CVPR 2017, arXiv:1611.07725 (NME); Janson et al., 2022, arXiv:2210.04428 (NMC)",
        extends="rows",
    )
)
HEADS.add(
    HeadEntry(
        name="ridge",
        title="Ridge regression",
        meaning="Least squares on the labels as numbers, in closed form; its penalty is chosen on validation labels.",
        target="workers.fewshot.heads.ridge:RidgeHead",
        params=RidgeParams,
        paper="Hoerl and Kennard, Technometrics 1970; Allen, Technometrics 1974",
    )
)
HEADS.add(
    HeadEntry(
        name="lda",
        title="Linear discriminant analysis",
        meaning="Classes as Gaussians of one common shape, which is estimated with a shrunk covariance.",
        target="workers.fewshot.heads.discriminant:DiscriminantHead",
        params=DiscriminantParams,
        paper="Panos et al., ICCV 2023, arXiv:2303.13199 (FSA); Ledoit and Wolf, JMVA 2004",
    )
)
HEADS.add(
    HeadEntry(
        name="knn",
        title="Nearest neighbours",
        meaning="A vote of the most alike labelled rows by cosine, near ones counting more; their number is chosen.",
        target="workers.fewshot.heads.nearest_neighbours:NearestNeighboursHead",
        params=NeighboursParams,
        paper="Dudani, IEEE Transactions on Systems, Man and Cybernetics 1976",
    )
)
HEADS.add(
    HeadEntry(
        name="lightgbm",
        title="Gradient-boosted trees",
        meaning="LightGBM on the features as columns of a table, with EHRSHOT's grid of settings.",
        target="workers.fewshot.heads.boosted_trees:BoostedTreesHead",
        params=BoostedTreesParams,
        paper="Ke et al., NeurIPS 2017; Wornow et al., NeurIPS 2023, arXiv:2307.02028",
        cost="heavy",
    )
)
HEADS.add(
    HeadEntry(
        name="random_forest",
        title="Random forest",
        meaning="Trees on random draws of rows and columns, with EHRSHOT's grid of settings.",
        target="workers.fewshot.heads.random_forest:RandomForestHead",
        params=RandomForestParams,
        paper="Breiman, Machine Learning 2001; Wornow et al., NeurIPS 2023, arXiv:2307.02028",
        cost="heavy",
    )
)
HEADS.add(
    HeadEntry(
        name="zero_shot",
        title="Zero-shot",
        meaning="The class whose name, as the model's own text tower sees it, is most alike; no label is read.",
        target="workers.fewshot.heads.zero_shot:ZeroShotHead",
        paper="Radford et al., ICML 2021, arXiv:2103.00020",
        needs=("features", "class_texts"),
        learns=False,
        extends="name",
    )
)
HEADS.add(
    HeadEntry(
        name="tip_adapter",
        title="Tip-Adapter",
        meaning="Zero-shot plus a vote of the labelled rows that are alike; nothing is trained.",
        target="workers.fewshot.heads.tip_adapter:TipAdapterHead",
        params=TipAdapterParams,
        paper="Zhang et al., ECCV 2022, arXiv:2207.09519",
        needs=("features", "class_texts"),
        extends="name",
    )
)
HEADS.add(
    HeadEntry(
        name="nmtune",
        title="NMTune",
        meaning="A small network that reshapes the features before a linear classifier; weak with one or two labels.",
        target="workers.fewshot.heads.nmtune:NMTuneHead",
        params=NMTuneParams,
        paper="Chen et al., ICLR 2024, arXiv:2309.17002",
        cost="heavy",
    )
)
HEADS.add(
    HeadEntry(
        name="moment_probing",
        title="Moment Probing",
        meaning="A linear probe on the mean of the tokens and on learnt covariances between parts of them.",
        target="workers.fewshot.heads.moment_probing:MomentProbingHead",
        params=MomentProbingParams,
        paper="Gao et al., ICCV 2023, arXiv:2307.11342",
        needs=("tokens",),
        cost="heavy",
    )
)
HEADS.add(
    HeadEntry(
        name="moments",
        title="First and second moments",
        meaning="Ridge regression on the mean and the covariance of the tokens, in closed form.",
        target="workers.fewshot.heads.moments:MomentsHead",
        params=MomentsParams,
        paper="after Gao et al., ICCV 2023, arXiv:2307.11342",
        needs=("tokens",),
    )
)
