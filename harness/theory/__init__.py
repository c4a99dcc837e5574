"""The paper's robustness claims as bounds and closed forms, and their trial by simulation.

`robustness` states and proves the bound for the complementary loss, `momentum` the laws of the corrected label.
`trials`, `linear` and `labels` measure the same quantities step by step; `put_to_the_test` runs them all.
"""

from harness.theory.case import Case
from harness.theory.suite import put_to_the_test

__all__ = ["Case", "put_to_the_test"]
