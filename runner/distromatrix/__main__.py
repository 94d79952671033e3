"""`python -m distromatrix`."""

from distromatrix.cli import main

if __name__ == "__main__":
    main()
