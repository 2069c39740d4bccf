"""`python -m ns_talking` is `ns-talking`."""

from ns_talking.scripts.main import main

if __name__ == "__main__":
    main()
