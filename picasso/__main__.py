"""`python -m picasso`."""

from picasso.cli import main

if __name__ == "__main__":
    main()
