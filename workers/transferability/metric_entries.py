"""What the site knows of each metric without loading it: parameters and Entries."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from workers.kit import MetricEntry, Spec

_ROOM = "workers.transferability"


class LogmeParams(Spec):
    """Parameters of LogME.

    variant  "converged": the maximum of the evidence, exact for every N and D;
             "eleven_steps": the published fixed-point iteration with its stopping rule and constants, unscaled features
    targets  what the labels are: "classes", "regression" (numbers) or "multi_label" (a table of 0 and 1)
    """

    variant: Literal["converged", "eleven_steps"] = "converged"
    targets: Literal["classes", "regression", "multi_label"] = "classes"


class KnnParams(Spec):
    """Parameters of the leave-one-out nearest-neighbour accuracy: `k` neighbours vote."""

    k: int = Field(5, ge=1)


class LookParams(Spec):
    """Parameters of LOOK: `k` neighbours vote with weight exp(cosine/`temperature`)."""

    k: int = Field(20, ge=1)
    temperature: float = Field(0.1, gt=0)


class NleepParams(Spec):
    """Parameters of N-LEEP.

    energy                share of the variance that the principal components keep
    components_per_class  mixture components for each class
    most_rows             rows scored; of more, a stratified sample
    """

    energy: float = Field(0.8, gt=0, le=1)
    components_per_class: int = Field(5, ge=1)
    most_rows: int = Field(5000, ge=10)


class TransrateParams(Spec):
    """Parameters of TransRate.

    epsilon    distortion
    normalise  "none": features as they are (TLL); "rms": of root mean square 1; "rows": rows of length 1 (authors)
    weights    of the classes: "uniform" (TLL) or by "size" (authors)
    """

    epsilon: float = Field(1e-4, gt=0)
    normalise: Literal["none", "rms", "rows"] = "none"
    weights: Literal["uniform", "size"] = "uniform"


class GbcParams(Spec):
    """Parameters of GBC.

    covariance  "diagonal" or "spherical"
    components  principal components kept first; 0: none dropped
    floor       least variance, as a share of the mean variance
    """

    covariance: Literal["diagonal", "spherical"] = "diagonal"
    components: int = Field(0, ge=0)
    floor: float = Field(1e-4, gt=0)


class ParcParams(Spec):
    """Parameters of PARC: principal `components` kept (0: none dropped), and the most rows that are scored."""

    components: int = Field(32, ge=0)
    most_rows: int = Field(2000, ge=10)


class LinearProbeParams(Spec):
    """Parameters of the linear probe: the share of every class that is held out, and the L2 penalty."""

    held_out: float = Field(0.25, gt=0, lt=1)
    penalty: float = Field(1e-3, gt=0)


class PactranParams(Spec):
    """Parameters of PACTran-Gauss: variance of the `prior` over N, and of the `posterior` times D.

    The defaults are one of the authors' pairs.
    """

    prior: float = Field(10.0, gt=0)
    posterior: float = Field(100.0, gt=0)


class EnergyParams(Spec):
    """Parameters of ETran's energy: the `share` of the rows, those of lowest energy, that count."""

    share: float = Field(0.005, gt=0, le=1)


class SpectralParams(Spec):
    """Which features the singular values are of: as they are, "centred", or "rows" of length 1 less their own mean."""

    normalise: Literal["none", "centred", "rows"] = "none"


class RankParams(SpectralParams):
    """As SpectralParams, of centred features."""

    normalise: Literal["none", "centred", "rows"] = "centred"


ENTRIES = (
    MetricEntry(
        name="logme",
        title="LogME",
        meaning="Log evidence per sample that a linear model on the features explains the labels, mean over classes.",
        target=f"{_ROOM}.logme:METRIC",
        params=LogmeParams,
        paper="You et al., ICML 2021, arXiv 2102.11005; JMLR 2022, arXiv 2110.10545",
        tasks=("classification", "multi-label", "regression"),
        evidence="does not beat the static list",
    ),
    MetricEntry(
        name="regularised_h_score",
        title="Regularised H-score",
        meaning="How far the class means lie apart, against the spread of the features (Ledoit-Wolf covariance).",
        target=f"{_ROOM}.h_score:METRIC",
        paper="Ibrahim et al., 2021, arXiv 2110.06893; Bao et al., ICIP 2019",
        range="[0, inf)",
    ),
    MetricEntry(
        name="h_score",
        title="H-score",
        meaning="How far the class means lie apart, against the spread of the features; needs more rows than features.",
        target=f"{_ROOM}.h_score:PLAIN",
        paper="Bao et al., ICIP 2019",
        range="[0, C - 1]",
        evidence="does not beat the static list",
    ),
    MetricEntry(
        name="knn",
        title="Leave-one-out kNN",
        meaning="Share of the samples whose nearest neighbours among all other samples vote for the right class.",
        target=f"{_ROOM}.neighbours:METRIC",
        params=KnnParams,
        paper="Leave-one-out accuracy as a transferability score: arXiv 2503.18528",
        range="[0, 1]",
        cost="medium",
    ),
    MetricEntry(
        name="knn_numbers",
        title="Leave-one-out kNN, numbers",
        meaning="Share of the targets' variance that the mean of the nearest other samples explains.",
        target=f"{_ROOM}.neighbour_numbers:METRIC",
        params=KnnParams,
        paper="Leave-one-out R² of nearest neighbours; with classes see knn",
        range="(-inf, 1]",
        cost="medium",
        tasks=("regression",),
    ),
    MetricEntry(
        name="look",
        title="LOOK",
        meaning="Share of the samples whose most alike other samples, weighted by likeness, name the right class.",
        target=f"{_ROOM}.look:METRIC",
        params=LookParams,
        paper="Feng et al., ICLR 2022, arXiv 2110.06014",
        range="[0, 1]",
        cost="medium",
    ),
    MetricEntry(
        name="nearest_class_mean",
        title="Nearest class mean",
        meaning="Share of the samples that are nearer to the mean of their class's other samples than to another mean.",
        target=f"{_ROOM}.class_means:METRIC",
        paper="Mensink et al., TPAMI 2013; left out one by one in closed form",
        range="[0, 1]",
    ),
    MetricEntry(
        name="linear_probe",
        title="Linear probe",
        meaning="Share of held-out samples that a linear classifier trained on the other samples gets right.",
        target=f"{_ROOM}.linear_probe:METRIC",
        params=LinearProbeParams,
        paper="Kornblith et al., CVPR 2019, arXiv 1805.08974",
        range="[0, 1]",
        interval="rows",
        cost="heavy",
    ),
    MetricEntry(
        name="nce",
        title="NCE",
        meaning="How little of the labels is left unknown once the class that the source model chooses is known.",
        target=f"{_ROOM}.nce:METRIC",
        paper="Tran et al., ICCV 2019, arXiv 1908.08142",
        range="(-inf, 0]",
        needs=("source_probabilities",),
        interval="rows",
        evidence="does not beat the static list",
    ),
    MetricEntry(
        name="leep",
        title="LEEP",
        meaning="Mean log probability of the labels when they are predicted through the source model's own classes.",
        target=f"{_ROOM}.leep:METRIC",
        paper="Nguyen et al., ICML 2020, arXiv 2002.12462",
        range="(-inf, 0]",
        needs=("source_probabilities",),
        interval="rows",
        evidence="does not beat the static list",
    ),
    MetricEntry(
        name="nleep",
        title="N-LEEP",
        meaning="LEEP with the clusters of the features in place of the source model's classes.",
        target=f"{_ROOM}.nleep:METRIC",
        params=NleepParams,
        paper="Li et al., CVPR 2021, arXiv 2011.11200",
        range="(-inf, 0]",
        cost="heavy",
        evidence="does not beat the static list",
    ),
    MetricEntry(
        name="transrate",
        title="TransRate",
        meaning="How many more bits the features of all samples take than those of one class, at a fixed distortion.",
        target=f"{_ROOM}.transrate:METRIC",
        params=TransrateParams,
        paper="Huang et al., ICML 2022, arXiv 2106.09362",
    ),
    MetricEntry(
        name="gbc",
        title="GBC",
        meaning="How little the classes overlap, each taken for a Gaussian: minus the sum over pairs of classes.",
        target=f"{_ROOM}.gbc:METRIC",
        params=GbcParams,
        paper="Pándy et al., CVPR 2022, arXiv 2111.12780",
        range="[-C(C - 1), 0]",
        evidence="does not beat the static list",
    ),
    MetricEntry(
        name="lfc",
        title="LFC",
        meaning="Correlation of the likeness of the samples' features with whether they share a class.",
        target=f"{_ROOM}.lfc:METRIC",
        paper="Deshpande et al., 2021, arXiv 2102.00084",
        range="[-1, 1]",
        evidence="does not beat the static list",
    ),
    MetricEntry(
        name="parc",
        title="PARC",
        meaning="Rank correlation, times 100, of the distances between features with those between labels.",
        target=f"{_ROOM}.parc:METRIC",
        params=ParcParams,
        paper="Bolya et al., NeurIPS 2021, arXiv 2111.06977",
        range="[-100, 100]",
        cost="medium",
    ),
    MetricEntry(
        name="sfda",
        title="SFDA",
        meaning="Probability of the right class under a Fisher discriminant refitted on samples that are made harder.",
        target=f"{_ROOM}.sfda:METRIC",
        paper="Shao et al., ECCV 2022, arXiv 2207.03036",
        range="[0, 1]",
        cost="medium",
    ),
    MetricEntry(
        name="pactran_gauss",
        title="PACTran-Gauss",
        meaning="Minus a bound on the loss of a linear classifier: its best loss plus how sharp that optimum is.",
        target=f"{_ROOM}.pactran:METRIC",
        params=PactranParams,
        paper="Ding et al., ECCV 2022, arXiv 2203.05126",
        cost="heavy",
    ),
    MetricEntry(
        name="etran_energy",
        title="ETran, energy",
        meaning="Mean of the log of the sum of the features' exponentials, over the samples where it is lowest.",
        target=f"{_ROOM}.etran:ENERGY",
        role="part",
        params=EnergyParams,
        paper="Gholami et al., ICCV 2023, arXiv 2308.02027",
    ),
    MetricEntry(
        name="etran_lda",
        title="ETran, discriminant",
        meaning="Mean probability of the right class by distance to the class means, as ETran's code computes it.",
        target=f"{_ROOM}.etran:LDA",
        role="part",
        paper="Gholami et al., ICCV 2023, arXiv 2308.02027",
        range="[0, 1]",
    ),
    MetricEntry(
        name="ncti_ncc",
        title="NCTI, class centres",
        meaning="Mean probability of the right class under a linear discriminant on 64 principal components.",
        target=f"{_ROOM}.ncti:NCC",
        role="part",
        paper="Wang et al., ICCV 2023",
        range="[0, 1]",
        cost="medium",
    ),
    MetricEntry(
        name="ncti_seli",
        title="NCTI, simplex",
        meaning="Nuclear norm of the samples on the directions that tell the classes apart.",
        target=f"{_ROOM}.ncti:SELI",
        role="part",
        paper="Wang et al., ICCV 2023",
        range="[0, inf)",
        cost="medium",
    ),
    MetricEntry(
        name="ncti_vc",
        title="NCTI, variability",
        meaning="Log of the summed nuclear norms of each class's predicted probabilities; lower is better.",
        target=f"{_ROOM}.ncti:VC",
        role="part",
        higher_is_better=False,
        paper="Wang et al., ICCV 2023",
        cost="medium",
    ),
    MetricEntry(
        name="sve",
        title="Singular value entropy",
        meaning="How evenly the features use their directions: entropy of the singular values' shares.",
        target=f"{_ROOM}.health:SVE",
        role="health",
        params=SpectralParams,
        paper="Chen et al. (NMTune), ICLR 2024, arXiv 2309.17002",
        range="[0, ln min(N, D)]",
        tasks=("classification", "multi-label", "regression"),
    ),
    MetricEntry(
        name="lsvr",
        title="Largest singular value ratio",
        meaning="How little the strongest direction of the features dominates: minus the log of its share.",
        target=f"{_ROOM}.health:LSVR",
        role="health",
        params=SpectralParams,
        paper="Chen et al. (NMTune), ICLR 2024, arXiv 2309.17002",
        range="[0, ln min(N, D)]",
        tasks=("classification", "multi-label", "regression"),
    ),
    MetricEntry(
        name="effective_rank",
        title="Effective rank",
        meaning="How many directions the features use: exponential of the entropy of their singular values' shares.",
        target=f"{_ROOM}.health:RANK",
        role="health",
        params=RankParams,
        paper="Roy and Vetterli, EUSIPCO 2007",
        range="[1, min(N, D)]",
        cost="medium",
        tasks=("classification", "multi-label", "regression"),
    ),
    MetricEntry(
        name="nc1",
        title="NC1, spread of classes",
        meaning="Spread of the features inside the classes against that between their means; 0: each class a point.",
        target=f"{_ROOM}.collapse:NC1",
        role="health",
        higher_is_better=False,
        paper="Papyan, Han and Donoho, PNAS 2020, arXiv 2008.08186",
        range="[0, inf)",
    ),
    MetricEntry(
        name="nc2_norms",
        title="NC2, lengths",
        meaning="How unequal the distances of the class means from their mean are: SD over mean; 0: all equal.",
        target=f"{_ROOM}.collapse:NC2_NORMS",
        role="health",
        higher_is_better=False,
        paper="Papyan, Han and Donoho, PNAS 2020, arXiv 2008.08186",
        range="[0, inf)",
    ),
    MetricEntry(
        name="nc2_angles",
        title="NC2, angles",
        meaning="How far the angles between class means are from those of a simplex: mean |cos + 1/(C - 1)|; 0: equal.",
        target=f"{_ROOM}.collapse:NC2_ANGLES",
        role="health",
        higher_is_better=False,
        paper="Papyan, Han and Donoho, PNAS 2020, arXiv 2008.08186",
        range="[0, 2]",
    ),
)
