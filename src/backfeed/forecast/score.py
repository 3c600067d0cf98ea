"""How good were the forecasts: proper scores, calibration and sharpness.

A forecast earns trust in two ways. It is calibrated when what it calls 10 % happens in 10 % of cases, and
sharp when its intervals are narrow; the pinball loss rewards both at once and is least for the truth.

Reference: T. Gneiting, A. E. Raftery, "Strictly proper scoring rules, prediction, and estimation", Journal of the
American Statistical Association 102 (2007) 359-378, doi:10.1198/016214506000001437.
"""

import numpy as np
from numpy.typing import NDArray


def pinball_loss(
    quantiles: NDArray[np.float64], observed: NDArray[np.float64], levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean pinball loss of every level, shape `(level,)`, in the unit of the forecast.

    Parameters
    ----------
    quantiles
        Shape `(case, level)`.
    observed
        Shape `(case,)`.
    levels
        Shape `(level,)`.

    >>> pinball_loss(np.array([[1.0]]), np.array([3.0]), np.array([0.25])).item()
    0.5
    """
    short = observed[:, None] - quantiles
    return np.asarray(np.maximum(levels * short, (levels - 1.0) * short).mean(axis=0))


def coverage(quantiles: NDArray[np.float64], observed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of cases at or below every quantile, shape `(level,)`; calibrated means equal to the levels."""
    return np.asarray((observed[:, None] <= quantiles).mean(axis=0))


def sharpness(quantiles: NDArray[np.float64], low: int, high: int) -> float:
    """Return the mean width between two columns of quantiles, in the unit of the forecast."""
    return float((quantiles[:, high] - quantiles[:, low]).mean())


def log_loss(probability: NDArray[np.float64], happened: NDArray[np.bool_]) -> float:
    """Return the mean negative log likelihood of what happened, in nats, probabilities held off 0 and 1 by 1e-6."""
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    return float(-np.where(happened, np.log(p), np.log1p(-p)).mean())


def ranking(probability: NDArray[np.float64], happened: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve: how often a case that happened got more than one that did not.

    Ties count half; NaN if all or none happened.

    >>> ranking(np.array([0.1, 0.9]), np.array([False, True]))
    1.0
    """
    positives, negatives = np.sort(probability[happened]), np.sort(probability[~happened])
    if len(positives) == 0 or len(negatives) == 0:
        return float("nan")
    below = np.searchsorted(negatives, positives, side="left") + np.searchsorted(negatives, positives, side="right")
    return float(below.sum() / 2 / (len(positives) * len(negatives)))


def folds_by_time(at_ms: NDArray[np.int64], count: int) -> tuple[NDArray[np.intp], ...]:
    """Return the cases of `count` folds of equal size, each wholly before the next in time."""
    return tuple(np.array_split(np.argsort(at_ms, kind="stable"), count))
