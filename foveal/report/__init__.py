"""A finished study for its readers: tables, plots, one page."""

from foveal.report.page import write_report

__all__ = ["write_report"]
