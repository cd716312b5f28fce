"""Base models by name, the models that ship as packages, and the local inference engine."""
