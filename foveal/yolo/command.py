"""ultralytics' own command line, `yolo …`, in which insertions are kept.

`python -m foveal.yolo.command train model=best.pt data=my.yaml epochs=10`
"""


def main() -> None:
    """Run the command with Foveal's `YOLO` and `RTDETR` in this process."""
    from foveal.yolo import model

    model.package.YOLO = model.YOLO  # pyright: ignore
    model.package.RTDETR = model.RTDETR  # pyright: ignore
    from ultralytics.cfg import entrypoint

    entrypoint()


if __name__ == "__main__":
    main()
