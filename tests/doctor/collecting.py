"""What the checks have told, for tests to look at."""

from rtcsend.doctor.findings import Check


class Told:
    """Takes findings.

    Attributes:
        checks: All of them, in order.
    """

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def __call__(self, check: Check) -> None:
        self.checks.append(check)

    def one(self, area: str, check: str) -> Check:
        """Return the only finding of that kind."""
        (found,) = (one for one in self.checks if (one.area, one.check) == (area, check))
        return found

    def kinds(self, area: str) -> list[tuple[str, str]]:
        """Return what was checked in an area, and how it went."""
        return [(one.check, one.status) for one in self.checks if one.area == area]
