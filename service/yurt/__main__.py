"""`python -m yurt` is the command `yurt`."""

from yurt.cli.main import main

if __name__ == "__main__":
    main()
