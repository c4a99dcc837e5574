"""Tests that every method must pass, for methods of one's own too.

    from harness.testing import check_method
    from my_package import MyMethod

    def test_my_method() -> None:
        check_method(MyMethod, tau=0.1)

The method is trained by the real trainer on a toy data set made in memory, with a small backbone; a few seconds in all.
`CHECKS` lists what is checked, and `check_method(..., only=["resume"])` runs some of it.
"""

from harness.testing.checks import CHECKS, check_method

__all__ = ["CHECKS", "check_method"]
