"""One of two processes that train together, as Nerfstudio starts them on GPUs, here without one.

    python two_processes.py RANK ADDRESS train METHOD ITERATIONS     in a folder with a portrait `tiny`
    python two_processes.py RANK ADDRESS average

Prints what it came to, as JSON in its last line.
"""

from __future__ import annotations

import hashlib
import json
import sys
from copy import deepcopy
from pathlib import Path

import torch
import torch.distributed as dist


def digest(module: torch.nn.Module) -> str:
    """Tell parameters apart that differ in a bit."""
    return hashlib.sha256(b"".join(entry.detach().numpy().tobytes() for entry in module.parameters())).hexdigest()


def train(rank: int, method: str, iterations: int) -> dict:
    """Train, and give what the parameters were and are, and the losses on the way."""
    from nerfstudio.configs.method_configs import all_methods
    from nerfstudio.scripts.train import _set_random_seed
    from nerfstudio.utils import comms

    comms.LOCAL_PROCESS_GROUP = dist.new_group([0, 1])
    config = deepcopy(all_methods[method])
    config.output_dir, config.timestamp, config.vis = Path("out"), "run", "tensorboard"
    config.max_num_iterations = iterations
    config.machine.device_type, config.machine.num_devices = "cpu", 2
    datamanager = config.pipeline.datamanager
    config.data = datamanager.data = Path("tiny")
    datamanager.train_num_rays_per_batch = datamanager.torso_num_rays_per_batch = 64
    config.pipeline.model.audio_code.lip_shape.num_networks = 0
    config.set_timestamp()
    if rank == 0:
        config.save_config()
    _set_random_seed(config.machine.seed + rank)
    trainer = config.setup(local_rank=rank, world_size=2)
    trainer.setup()
    before, losses = digest(trainer.pipeline.model), []
    losses_of = trainer.pipeline.get_train_loss_dict

    def noted(step: int) -> tuple:
        found = losses_of(step)
        losses.append(float(sum(found[1].values()).detach()))
        return found

    trainer.pipeline.get_train_loss_dict = noted
    trainer.train()
    return {"before": before, "after": digest(trainer.pipeline.model), "losses": losses}


def average(rank: int) -> dict:
    """Average gradients that both, one and none of the processes have."""
    from ns_talking.pipelines.several_processes import average_gradients

    both, one, none = (torch.nn.Parameter(torch.zeros(2)) for _ in range(3))
    both.grad = torch.tensor([1.0, 2.0]) + rank
    if rank:
        one.grad = torch.tensor([4.0, 6.0])
    average_gradients([both, one, none])
    return {
        name: None if entry.grad is None else entry.grad.tolist()
        for name, entry in (("both", both), ("one", one), ("none", none))
    }


if __name__ == "__main__":
    rank, address, what, *more = sys.argv[1:]
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=address, world_size=2, rank=int(rank))
    result = train(int(rank), more[0], int(more[1])) if what == "train" else average(int(rank))
    dist.barrier()
    dist.destroy_process_group()
    sys.stdout.write(json.dumps(result) + "\n")
