"""What each variant costs beside the bare host."""

import torch

from foveal.measure import measure
from foveal.study.config import StudyConfig
from foveal.study.prepare import Prepared
from foveal.study.records import Cost
from foveal.study.variants import baseline, build, example_of, study_data
from foveal.train.fit import reproducible

SECONDS = 1.0


def costs_of(config: StudyConfig, prepared: Prepared) -> list[Cost]:
    """Measure every variant on one picture, its time in turns with the bare host's."""
    data = study_data(config.data)
    device = torch.device("cuda" if config.training.device == "gpu" else "cpu")
    picture = example_of(data)[:1].to(device)
    seed = config.seed_list[0]
    costs = []
    with reproducible():
        bare = build(config, baseline(), seed, data).model.to(device).eval()
        for variant in prepared.variants:
            model = build(config, variant, seed, data).model.to(device).eval()
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
