"""Zero-shot: a pre-trained network as it is.

Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (CLIP), ICML 2021, for
the backbone `clip`. There is no loss, and no hyperparameter.
"""

from collections.abc import Sequence

from harness.errors import HarnessError
from harness.methods.base import Method, Phase


class ZeroShot(Method):
    """No training: the pre-trained network is scored as it is, on dev and on test.

    The noise of the training pairs changes nothing, so its figures are the same at every rate. With a backbone that
    starts at random they are chance.
    """

    def phases(self, epochs: int | None, steps_per_epoch: int) -> Sequence[Phase]:
        """None at all."""
        if epochs is not None:
            raise HarnessError(
                f"schedule.epochs = {epochs}: zero_shot trains nothing; accepted: no schedule.epochs; remove it"
            )
        return []
