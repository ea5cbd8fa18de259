"""Intervals and p-values that hold however often, and whenever, somebody looks.

The normal mixture: with an estimate x of standard error s and a mixing deviation tau that is fixed
beforehand, the likelihood ratio of the mixture N(0, tau^2) of effects against none is a martingale
under no effect, so it exceeds 1 / alpha at any time with probability at most alpha. Estimates here
are of relative effects, so tau is a size of effect: it decides where the interval is narrowest, not
whether it is valid.

Source: Johari, Koomen, Pekelis, Walsh: Always valid inference, Operations Research 2022; for
estimates that are only asymptotically normal: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas:
Time-uniform central limit theory and asymptotic confidence sequences, Annals of Statistics 2024.
"""

import math

TAU = 0.2


def always_valid_p(estimate: float, error: float, *, tau: float = TAU) -> float:
    """Give the p-value of no effect that may be looked at as often as wished.

    Args:
        estimate: of the effect.
        error: its standard error, at least 0.
        tau: deviation of the mixture, in the effect's unit, chosen before looking.
    """
    if estimate == 0:
        return 1.0
    if error == 0:
        return 0.0
    total = error**2 + tau**2
    log_ratio = math.log(error**2 / total) / 2 + (estimate * tau / error) ** 2 / (2 * total)
    return min(1.0, math.exp(-min(log_ratio, 700.0)))


def always_valid_margin(error: float, *, alpha: float, tau: float = TAU) -> float:
    """Give how far the interval reaches to either side of the estimate.

    Args:
        error: standard error of the estimate, at least 0.
        alpha: chance that the intervals ever miss the effect.
        tau: deviation of the mixture, in the effect's unit, chosen before looking.
    """
    if error == 0:
        return 0.0
    total = error**2 + tau**2
    width = (total / tau**2) * (math.log(total / error**2) - 2 * math.log(alpha))
    return error * math.sqrt(width)
