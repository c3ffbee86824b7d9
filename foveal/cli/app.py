"""The verbs, gathered into one command."""

import typer

from foveal.cli import (
    check,
    choose,
    doctor,
    export,
    info,
    insert,
    list_,
    measure,
    report,
    study,
    targets,
    transfer,
    yolo,
)

app = typer.Typer(
    name="foveal",
    help="Does attention help my vision model on my data, which kind, where, and can I ship it?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # the markups take the stars and brackets out of examples
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name, verb in {
    "list": list_.list_,
    "info": info.info,
    "targets": targets.targets,
    "choose": choose.choose,
    "insert": insert.insert,
    "check": check.check,
    "doctor": doctor.doctor,
    "measure": measure.measure,
    "report": report.report,
    "study": study.study,
    "transfer": transfer.transfer,
}.items():
    app.command(name)(verb)
app.command("export", context_settings=export.CONTEXT)(export.export)
app.add_typer(yolo.app, name="yolo")
