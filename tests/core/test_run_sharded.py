"""Each search runs in one process, and all get its results."""

import torch

from vitquant.core import distributed
from vitquant.core.distributed import Task, run_sharded


def searches(found):
    results = [torch.full((2,), 9.0) for _ in range(3)]
    return results, [
        Task(lambda i=i: (found.append(i), results[i].fill_(i + 1.0)), [results[i]])
        for i in range(3)
    ]


def test_alone_all_run_here():
    found = []
    results, work = searches(found)
    run_sharded(work)
    assert found == [0, 1, 2]
    assert [r[0].item() for r in results] == [1, 2, 3]


def test_of_two_processes_each_runs_its_own_and_the_results_add_up(monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed, "all_reduce", lambda tensors: None)
    total = torch.zeros(3)
    for rank, own in enumerate(([0, 2], [1])):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        found = []
        results, work = searches(found)
        run_sharded(work)
        assert found == own
        total += torch.stack([r[0] for r in results])
    assert total.tolist() == [1, 2, 3]
