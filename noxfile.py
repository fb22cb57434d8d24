"""The tests on every Python that is supported, each in an environment of its own: `nox`, or `nox -s tests-3.13`."""

import nox

nox.options.sessions = ["tests"]
nox.options.error_on_missing_interpreters = True


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Install as `make test` does, torch first, and run the tests; arguments after -- go to pytest."""
    session.install("-c", "constraints.txt", "torch")
    session.install("-e", ".[dev]")
    # Ray cannot be imported beside it on a machine without ROCm.
    session.run("python", "-m", "pip", "uninstall", "--yes", "amdsmi", silent=True)
    session.run("pytest", "-n", "2", "--dist", "loadfile", *session.posargs)
