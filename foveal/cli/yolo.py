"""`foveal yolo …`: the verbs for the YOLO families."""

import typer

from foveal.cli import yolo_dataset, yolo_train

app = typer.Typer(
    help="For the YOLO families: data made here, and training with attention.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
for name, verb in {
    "dataset": yolo_dataset.dataset,
}.items():
    app.command(name)(verb)
app.command("train", context_settings=yolo_train.CONTEXT)(yolo_train.train)
