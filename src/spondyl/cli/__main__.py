"""`python -m spondyl.cli`: the same as the console script."""

from spondyl.cli.commands import main

main()
