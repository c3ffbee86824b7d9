"""A study small enough for a test: eight runs of a fraction of a second."""

from foveal.study.config import DataConfig, StudyConfig, TrainingConfig, VariantConfig

SMALL = StudyConfig(
    name="small",
    variants=[VariantConfig("eca", where="stages.2")],
    data=DataConfig(train_limit=96, test_limit=50),
    training=TrainingConfig(epochs=1, batch_size=32),
    seeds=2,
)
