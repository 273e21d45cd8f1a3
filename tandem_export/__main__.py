"""`python -m tandem_export`: the command line."""

from tandem_export.cli import main

if __name__ == "__main__":
    main()
