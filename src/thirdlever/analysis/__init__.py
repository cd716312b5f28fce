"""From a run's folder to figures, offline."""

from thirdlever.analysis.scorecards import figures

__all__ = ["figures"]
