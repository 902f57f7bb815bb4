"""The order of TensorBoard's event files."""

import re


def by_writer(name: str) -> list[int]:
    """A key by which the names of event files are sorted as they were begun: what continues a file comes after it.

    Names count the second, the process, and the writers of the process; as text the tenth comes before the ninth.

    Args:
        name: of an event file.

    Example:
        >>> sorted(["events.out.tfevents.17.host.3.10", "events.out.tfevents.17.host.3.9"], key=by_writer)
        ['events.out.tfevents.17.host.3.9', 'events.out.tfevents.17.host.3.10']
    """
    return [int(number) for number in re.findall(r"\d+", name)]
