"""The learning rate of each step: it may rise first, and falls by epochs of a piece."""

from pathlib import Path
from typing import Any

import pytest

from harness.spec import Schedule
from harness.testing.toy import toy_run, toy_trainer


def test_a_rate_rises_in_a_straight_line() -> None:
    schedule = Schedule(warmup_steps=4)
    assert [schedule.warm_at(step) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert Schedule().warm_at(0) == 1


@pytest.mark.parametrize("steps", [0, 5])
def test_the_rates_of_a_run(tmp_path: Path, steps: int) -> None:
    """4 steps an epoch; the rate falls after each second one; the second network's round rises as the first's."""
    run = toy_run("bicro", {"warmup_epochs": 1}, "vse_infinity", epochs=3)
    schedule = run.schedule.model_copy(update={"warmup_steps": steps, "lr_decay_every": 2})
    seen: list[tuple[int, int, float]] = []
    trainer = toy_trainer(run.model_copy(update={"schedule": schedule}), tmp_path)
    step = trainer.method.step

    def watched(training: Any, *batches: Any) -> Any:
        progress = training.progress
        seen.append((progress.piece, progress.step_in_piece, training.networks[progress.round].rate))
        assert training.networks[0].rate == training.networks[1].rate
        return step(training, *batches)

    trainer.method.step = watched  # type: ignore[method-assign]
    trainer.fit()
    assert {piece for piece, *_ in seen} == {0, 1}
    for _, place, rate in seen:
        risen = min(1, (place + 1) / steps) if steps else 1
        assert rate == pytest.approx(schedule.lr * risen) or rate == pytest.approx(schedule.lr * 0.1 * risen)
    assert len({rate for *_, rate in seen}) > (2 if steps else 1)
