"""python -m adderhw.simulate: see adderhw/cli.py."""

from adderhw.cli import main

if __name__ == "__main__":
    main()
