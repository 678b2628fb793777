"""What a run leaves for people: all but this project's own records."""


def shown(folder):
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".vos-"))


def files_below(folder):
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(path) for path in found if not path.name.startswith(".vos-"))
