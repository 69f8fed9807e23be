"""Nearest class mean of features of length 1, as class-incremental learning uses it (NME, iCaRL's classifier)."""

from __future__ import annotations

from workers.fewshot.heads.cosine_class_mean import CosineClassMeanHead


class NormalisedClassMeanHead(CosineClassMeanHead):
    """The class whose mean is nearest (Euclidean), rows and means divided by their length before and after averaging.

    Rebuffi et al., CVPR 2017, equations 1 and 2. Between vectors of length 1 a squared distance is 2 − 2 cos, so the
    logits are cosines; the means differ from SimpleCIL's, where long features weigh more.
    """

    is_normalised = True
