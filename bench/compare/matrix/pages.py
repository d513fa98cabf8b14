"""A part of a page that is written by a program: what stands between two markers."""


def marks(name):
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def rewritten(page, name, text):
    """The page with this text between the markers, and nothing else changed."""
    begin, end = marks(name)
    head, found, rest = page.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page has no {begin} with {end} behind it")
    return f"{head}{begin}\n\n{text.strip()}\n\n{end}{tail}"


def rewrite(path, name, text):
    with open(path) as file:
        page = file.read()
    with open(path, "w") as file:
        file.write(rewritten(page, name, text))
