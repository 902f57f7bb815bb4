"""A linear fit, with the errors of its coefficients."""

from typing import NamedTuple

import numpy as np

from puffer_callbacks.health.series import Floats

_DEPENDENT = 1e-5
"""The size of a combination of columns, over that of the largest, below which float32 rounds it off."""
_SHARED = 1e-3
"""The weight of a column in such a combination from which on its own coefficient is not known."""


class LinearFit(NamedTuple):
    """targets ≈ rows · coefficients + constant.

    Args:
        coefficients: of each column; 0 for one that does not vary.
        errors: the standard error of each coefficient; infinite for one of a column that does not vary, or that others
            make up.
        constant: the intercept.
        share: of the targets' variance that the fit explains.
        rest: root mean square of what it does not explain.
    """

    coefficients: Floats
    errors: Floats
    constant: float
    share: float
    rest: float


def linear_fit(rows: Floats, targets: Floats) -> LinearFit:
    """Least squares; columns are scaled, so that small ones count too.

    Args:
        rows: [n, k].
        targets: [n], which vary.

    Example:
        >>> fit = linear_fit(np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 3.0, 5.0]))
        >>> fit.coefficients.round(6).tolist(), round(fit.constant, 6), round(fit.share, 6)
        ([2.0], 1.0, 1.0)
    """
    means, scales = rows.mean(0), rows.std(0)
    scales = np.where(scales > 1e-12 * (1 + np.abs(means)), scales, np.inf)
    scaled, centered = (rows - means) / scales, targets - targets.mean()
    squares, directions = np.linalg.eigh(scaled.T @ scaled)
    kept = squares > _DEPENDENT**2 * squares[-1]
    inverse = (directions[:, kept] / squares[kept]) @ directions[:, kept].T
    solution = inverse @ (scaled.T @ centered)
    residual = centered - scaled @ solution
    rest = float(np.sqrt(residual @ residual / len(rows)))
    unknown = (np.abs(directions[:, ~kept]) > _SHARED).any(1)
    return LinearFit(
        coefficients=solution / scales,
        errors=np.where(unknown, np.inf, rest * np.sqrt(np.abs(np.diag(inverse))) / scales),
        constant=float(targets.mean() - means @ (solution / scales)),
        share=float(1 - (residual @ residual) / (centered @ centered)),
        rest=rest,
    )
