"""What a run's figures look like: table, chart, files for other tools."""
