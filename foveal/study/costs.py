"""What each variant costs beside the bare host."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from foveal.measure import measure
from foveal.study.config import StudyConfig
from foveal.study.prepare import Prepared
from foveal.study.records import Cost, Variant
from foveal.study.variants import baseline, build, example_of, study_data
from foveal.train.fit import reproducible

SECONDS = 1.0


def costs_of(config: StudyConfig, prepared: Prepared) -> list[Cost]:
    """Measure every variant on one picture, its time in turns with the bare host's."""
    data = study_data(config.data)
    device = torch.device("cuda" if config.training.device == "gpu" else "cpu")
    picture = example_of(data)[:1].to(device)
    seed = config.seed_list[0]
    with reproducible():
        return measured(prepared, lambda v: build(config, v, seed, data).model, picture)


def measured(
    prepared: Prepared, network: Callable[[Variant], nn.Module], picture: Tensor
) -> list[Cost]:
    """The costs of every variant on a picture, on the device where it lies."""
    bare = network(baseline()).to(picture.device).eval()
    costs = []
    for variant in prepared.variants:
        model = network(variant).to(picture.device).eval()
        found = measure(model, picture, baseline=bare, seconds=SECONDS)
        latency = found.latency
        costs.append(
            Cost(
                variant=variant.name,
                parameters=found.parameters,
                flops=found.flops.foveal,
                bytes_moved=found.bytes_moved,
                peak_memory=found.peak_memory,
                latency_ratio=latency.ratio if latency else None,
                latency_ratio_interval=latency.ratio_interval if latency else None,
            )
        )
    return costs
