"""Time budgets: how many epochs fit, and what is timed for that."""

import dataclasses

import pytest

from kaggle_cifar.training import time_budget
from kaggle_cifar.training import train as train_module
from kaggle_cifar.training.loop import Training
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run_settings import RunExistsError
from kaggle_cifar.training.time_budget import TIMED_STEPS, TimeBudgetError
from kaggle_cifar.training.train import train
from tests.helpers.results import result_of
from tests.helpers.small_data import small_airbench
from tests.training.conftest import OPTIONS

pytestmark = pytest.mark.slow

BUDGET = 60.0


class Clock:
    """Stands for the module `time`: each call takes a moment."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        self.now += 0.001
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (train_module, time_budget):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def fixed_speed(monkeypatch, clock):
    """A step takes 2 s, the evaluation of an image 0.1 s; both are really run."""
    time_steps, time_evaluation = time_budget.time_steps, time_budget.time_evaluation

    def steps(training, enough):
        time_steps(training, 0.0)
        return 2.0

    def evaluation(training):
        time_evaluation(training)
        return 0.1

    monkeypatch.setattr(time_budget, "time_steps", steps)
    monkeypatch.setattr(time_budget, "time_evaluation", evaluation)


@pytest.fixture
def no_epochs(monkeypatch):
    """Train no epoch and write no result."""

    def run_epochs(self, stop_signal):
        self.state.history = [{}]
        return iter(())

    monkeypatch.setattr(Training, "run_epochs", run_epochs)
    monkeypatch.setattr(train_module, "write_result", lambda training: None)


def test_time_budget_sets_the_epochs_and_nothing_else(
    project, monkeypatch, fixed_speed, train_and_kill
):
    # The result is evaluated on 48 training images and 7 times on 12 validation images: 13.2 s.
    # A step costs 2 s and its share of the validation after an epoch of four, 12 * 0.1 / 4.
    steps = int(0.95 * (BUDGET - 13.2) / 2.3)
    assert steps == 19
    recipe, options = small_airbench(epochs=50), RunOptions(seed=3, time_budget=BUDGET)
    fitted = dataclasses.replace(recipe, epochs=steps / 4)
    run = train_and_kill(recipe, "budgeted", time_budget=BUDGET)
    assert run.read_recipe() == (fitted, options)
    monkeypatch.setattr(time_budget, "time_steps", lambda *_: pytest.fail("timed again"))
    train(project, recipe, "budgeted", options)
    assert result_of(run) == result_of(train(project, fitted, "plain", OPTIONS))
    train(project, recipe, "budgeted", options)  # finished


def test_time_budget_never_lengthens_a_recipe(project, fixed_speed, no_epochs):
    run = train(project, small_airbench(), "ample", RunOptions(time_budget=100 * BUDGET))
    assert run.read_recipe()[0].epochs == small_airbench().epochs


def test_time_budget_without_a_step_leaves_no_run(project, fixed_speed):
    with pytest.raises(TimeBudgetError) as caught:
        train(project, small_airbench(), "hasty", RunOptions(time_budget=15.0))
    assert caught.value.seconds == 2.0
    assert not (project.runs / "hasty").exists()


def test_time_budget_of_a_run_started_without_is_refused(finished, project):
    with pytest.raises(RunExistsError) as caught:
        train(project, small_airbench(), finished.name, RunOptions(seed=3, time_budget=60.0))
    assert caught.value.differences == ["time_budget: null, now 60"]


def test_steps_and_evaluations_are_timed(project, monkeypatch, clock, no_epochs):
    compile_step = Training.compile_step

    def compile_slow_step(self):
        compile_step(self)
        step = self.train_step

        def slow_step(batch, totals):
            clock.now += 5
            return step(batch, totals)

        self.train_step = slow_step

    monkeypatch.setattr(Training, "compile_step", compile_slow_step)
    run = train(project, small_airbench(epochs=50), "timed", RunOptions(time_budget=100.0))
    # One step to compile and three to time leave 80 s: 15 steps of 5 s in 95 % of it.
    assert run.read_recipe()[0].epochs == 15 / 4


@pytest.mark.parametrize(
    ("epochs", "seconds", "steps"),
    [
        (3.5, 0.01, 1 + TIMED_STEPS),  # a share of the 14 steps is less than the least
        (1000, 1.0, 1 + time_budget.LONGEST_TIMED),
    ],
)
def test_timing_ends_early(project, monkeypatch, clock, no_epochs, epochs, seconds, steps):
    timed = []

    def compile_fake_step(self, phase=None):
        def step(batch, totals):
            clock.now += seconds
            timed.append(batch)
            assert len(timed) < 1000, "timed without end"
            return totals

        self.train_step, self.phase, self.filter = step, self.recipe.phase(0), None

    monkeypatch.setattr(Training, "compile_step", compile_fake_step)
    options = RunOptions(time_budget=1000 * 3600.0)
    train(project, small_airbench(epochs=epochs), f"ample-{epochs}", options)
    assert len(timed) == pytest.approx(steps, abs=1 if epochs == 1000 else 0)
