"""A model with a mix, and a trainer that can stop and go on."""

from pathlib import Path

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader

from foveal import create_attention
from foveal.train.data import load_data
from foveal.train.fit import quiet
from foveal.train.module import Classifier

DATA = load_data("digits", train_limit=160, test_limit=40, feedback_share=0.2)


def classifier(notation: str, seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        create_attention(notation, 8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 10),
    )
    return Classifier(model, 10, [{"params": list(model.parameters())}], 0.01, 0.01, 40)


def train(
    module: Classifier,
    callbacks: list[Callback],
    epochs: int,
    checkpoints: Path | None = None,
    resume: Path | None = None,
    **options,
) -> None:
    """Train; with `checkpoints` a checkpoint is kept of every epoch, `0.ckpt` being the first."""
    keep = ModelCheckpoint(checkpoints, "{epoch}", save_top_k=-1, auto_insert_metric_name=False)
    loaders = [
        DataLoader(part, 32, collate_fn=lambda batch: batch, num_workers=0)
        for part in (DATA.train, DATA.test)
    ]
    with quiet():
        Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=checkpoints is not None,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            callbacks=[*callbacks, *([keep] if checkpoints else [])],
            **options,
        ).fit(module, *loaders, ckpt_path=resume)
