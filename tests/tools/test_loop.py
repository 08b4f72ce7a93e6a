"""The training loop: it learns, resumes exactly, stops on a bad loss, runs on two processes."""

import csv
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import ConcatDataset, Dataset

from segattr.datasets.errors import InputError
from segattr.tools.loop import LoopConfig, fit, lr_schedule, parameter_groups
from segattr.tools.training_card import seconds_trained


class Line(Dataset):
    """y = 2 x + 1, with fresh noise from torch's generator, so that a resumed run must have the right seeds."""

    transform = None

    def __len__(self):
        return 64

    def __getitem__(self, index):
        x = torch.tensor([index / 64])
        return {"x": x + 0.01 * torch.randn(1), "y": 2 * x + 1}


class Jitter:
    """A transform with a generator of its own, as augmentation has."""

    def set_random_seed(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, x):
        return x + 0.1 * torch.randn(1, generator=self.generator)


class JitteredLine(Line):
    def __init__(self):
        self.transform = Jitter()

    def __getitem__(self, index):
        item = super().__getitem__(index)
        return {"x": self.transform(item["x"]), "y": item["y"]}


class Regression(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.encoder = nn.Sequential(nn.Linear(1, 8), nn.Tanh())
        self.head = nn.Linear(8, 1)

    def forward(self, batch):
        return {"loss": ((self.head(self.encoder(batch["x"])) - batch["y"]) ** 2).mean()}


def score(task):
    x = torch.linspace(0, 1, 11)[:, None]
    with torch.no_grad():
        return {"good": -float(((task.head(task.encoder(x)) - 2 * x - 1) ** 2).mean())}


def config(**changes):
    base = {"epochs": 6, "batch_size": 16, "lr": 0.03, "warmup_epochs": 1, "ema_decay": 0.5, "workers": 0}
    return LoopConfig(**({"device": "cpu"} | base | changes))


def logged(path):
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle))


def weights(task):
    return torch.cat([p.detach().flatten() for p in task.parameters()])


def test_it_learns_logs_and_keeps_the_best(tmp_path):
    task = fit(Regression(), Line(), config(epochs=25), tmp_path, score, "good")
    assert score(task)["good"] > -0.01
    rows = logged(tmp_path / "log.csv")
    assert [int(row["epoch"]) for row in rows] == list(range(1, 26))
    best = max(float(row["val/good"]) for row in rows)
    assert score(task)["good"] == pytest.approx(best, abs=1e-6)
    assert list((tmp_path / "tensorboard").iterdir())


@pytest.mark.parametrize("data", [Line, JitteredLine])
def test_a_run_stopped_and_resumed_ends_where_an_unbroken_one_does(tmp_path, data):
    whole = fit(Regression(), data(), config(), tmp_path / "whole", score, "good")

    class Stop(Exception):
        pass

    calls = []

    def stopping(task):
        calls.append(1)
        if len(calls) == 4:
            raise Stop
        return score(task)

    with pytest.raises(Stop):
        fit(Regression(), data(), config(), tmp_path / "broken", stopping, "good")
    resumed = fit(Regression(), data(), config(resume=True), tmp_path / "broken", score, "good")
    assert torch.equal(weights(whole), weights(resumed))
    epochs = [int(row["epoch"]) for row in logged(tmp_path / "broken" / "log.csv")]
    assert epochs == [1, 2, 3, 4, 5, 6]


def test_the_time_of_all_runs_is_added_up(tmp_path):
    fit(Regression(), Line(), config(epochs=1), tmp_path, score, "good")
    last = torch.load(tmp_path / "last.pt", weights_only=True)
    assert 0 < last["seconds"] < 600
    torch.save({**last, "seconds": 5000.0}, tmp_path / "last.pt")
    fit(Regression(), Line(), config(epochs=2, resume=True), tmp_path, score, "good")
    assert 5000 < torch.load(tmp_path / "last.pt", weights_only=True)["seconds"] < 5600
    assert seconds_trained(tmp_path) >= 5000 and seconds_trained(tmp_path / "none") is None


def test_two_workers_give_the_same_batches_each_run(tmp_path):
    a = fit(Regression(), Line(), config(epochs=2, workers=2), tmp_path / "a", score, "good")
    b = fit(Regression(), Line(), config(epochs=2, workers=2), tmp_path / "b", score, "good")
    assert torch.equal(weights(a), weights(b))


@pytest.mark.parametrize("parts", [1, 2])
def test_an_epoch_of_several_passes_sees_every_sample_that_often(tmp_path, parts):
    seen = Counter()

    class Counted(Line):
        def __getitem__(self, index):
            seen[index] += 1
            return super().__getitem__(index)

    data = Counted() if parts == 1 else ConcatDataset([Counted()] * parts)
    fit(Regression(), data, config(epochs=2, passes=3, batch_size=8, workers=0), tmp_path, score, "good")
    assert set(seen.values()) == {2 * 3 * parts} and len(seen) == 64


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_epoch(tmp_path):
    class Diverging(Regression):
        steps = 0

        def forward(self, batch):
            Diverging.steps += 1
            losses = super().forward(batch)
            return losses if Diverging.steps <= 6 else {"loss": losses["loss"] * math.nan}

    with pytest.raises(InputError, match=r"nan in epoch 2, batch 3.*--loop.lr"):
        fit(Diverging(), Line(), config(), tmp_path, score, "good")
    assert torch.load(tmp_path / "last.pt", weights_only=True)["epoch"] == 1


def test_a_gradient_that_is_not_finite_never_reaches_the_weights(tmp_path):
    """A finite loss may have one, and a checkpoint of its weights would be no good one."""

    class Steep(Regression):
        steps = 0

        def forward(self, batch):
            Steep.steps += 1
            loss = super().forward(batch)["loss"]
            return {"loss": loss + 0 * loss.sub(loss.detach()).abs().sqrt() if Steep.steps == 8 else loss}

    with pytest.raises(InputError, match=r"the gradient became nan in epoch 2, batch 4"):
        fit(Steep(), Line(), config(), tmp_path, score, "good")
    last = torch.load(tmp_path / "last.pt", weights_only=True)
    assert last["epoch"] == 1 and all(torch.isfinite(value).all() for value in last["task"].values())


def test_frozen_stages_do_not_move_and_the_encoder_has_its_own_rate(tmp_path):
    task = Regression()
    before = task.encoder[0].weight.clone()
    groups = parameter_groups(task, config(encoder_lr_factor=0.1))
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert rates[id(task.encoder[0].weight)] == pytest.approx(0.003)
    assert rates[id(task.head.weight)] == pytest.approx(0.03)
    fit(task, Line(), config(freeze_stages=1, epochs=2), tmp_path, score, "good")
    assert torch.equal(before, task.encoder[0].weight)
    with pytest.raises(InputError, match="--freeze-stages 5"):
        fit(Regression(), Line(), config(freeze_stages=5), tmp_path / "x", score, "good")


def test_schedule_warms_up_and_ends_at_one_percent():
    factor = lr_schedule(config(epochs=10, warmup_epochs=2), 10)
    assert factor(0) == pytest.approx(1 / 20) and factor(19) == 1.0 and factor(20) == pytest.approx(1.0)
    assert factor(60) == pytest.approx(0.01 + 0.99 * 0.5) and factor(100) == pytest.approx(0.01)


@pytest.mark.parametrize("bad", [{"epochs": 0}, {"lr": 0}, {"ema_decay": 1.0}, {"batch_size": 0}])
def test_bad_options_are_said(tmp_path, bad):
    with pytest.raises(InputError, match="--loop"):
        fit(Regression(), Line(), config(**bad), tmp_path, score, "good")


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        "import importlib.util, sys, torch\n"
        "from pathlib import Path\n"
        f"spec = importlib.util.spec_from_file_location('t', {str(Path(__file__))!r})\n"
        "t = importlib.util.module_from_spec(spec); sys.modules['t'] = t; spec.loader.exec_module(t)\n"
        "out = Path(sys.argv[1])\n"
        "task = t.fit(t.Regression(), t.Line(), t.config(epochs=12), out / 'run', t.score, 'good')\n"
        "import os; torch.save(t.weights(task), out / f\"rank{os.environ['RANK']}.pt\")\n"
    )
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", script, tmp_path]
    done = subprocess.run([str(c) for c in command], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    ranks = [torch.load(tmp_path / f"rank{r}.pt", weights_only=True) for r in (0, 1)]
    assert torch.equal(*ranks)
    rows = logged(tmp_path / "run" / "log.csv")
    assert len(rows) == 12 and float(rows[-1]["val/good"]) > float(rows[0]["val/good"])
