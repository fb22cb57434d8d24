"""The verb that checks this machine: doctor.

In: nothing.
Out: a line for each check; exit code 1 if something that is needed does not work.
"""

import typer

from hilbertune.cli import machine
from hilbertune.cli.flags import Json
from hilbertune.cli.output import print_json
from hilbertune.cli.progress import progress_bars


def doctor(json_: Json = False) -> None:
    """Check this machine: versions, engines against each other, caches, extras.

    Example: hilbertune doctor --json
    """
    with progress_bars() as progress:
        progress("checking", 0.0)
        checks = machine.examine()
    well = all(check["ok"] for check in checks if check["needed"])
    if json_:
        print_json({"ok": well, "checks": checks})
    else:
        for check in checks:
            mark = "ok" if check["ok"] else "FAILS" if check["needed"] else "absent"
            print(f"{mark:7} {check['name']}: {check['detail']}")
    if not well:
        raise typer.Exit(1)
