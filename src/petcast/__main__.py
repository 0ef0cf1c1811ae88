"""`python -m petcast`, which is also what torchrun starts: `torchrun … -m petcast train …`."""

from petcast.cli import main

if __name__ == "__main__":
    main()
