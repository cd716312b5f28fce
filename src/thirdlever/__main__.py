"""`python -m thirdlever`."""

from thirdlever.cli import main

main()
