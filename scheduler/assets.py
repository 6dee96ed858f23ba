"""Files that travel with the program: the Lambdas, the state machine, the lock file of the embedded cloud."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def asset(*parts: str) -> Path:
    """Give the path of an asset: inside the package where it was installed from a wheel, else in the checkout."""
    packed = _PACKAGE / "_assets"
    return (packed if packed.is_dir() else _PACKAGE.parent).joinpath(*parts)


def core_files() -> dict[str, bytes]:
    """Give the files of the core by their names in a Lambda's zip."""
    return _files("core")


def check_files() -> dict[str, bytes]:
    """Give the files that say how sources are asked and what they reply, which need the core beside them."""
    return _files("checks")


def _files(folder: str) -> dict[str, bytes]:
    sources = [_PACKAGE / "__init__.py", *sorted((_PACKAGE / folder).glob("*.py"))]
    return {source.relative_to(_PACKAGE.parent).as_posix(): source.read_bytes() for source in sources}
