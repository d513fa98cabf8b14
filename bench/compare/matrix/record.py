"""All runs as they are kept, and the page and the pictures that are made of them."""

import json
import os

from matrix import pages, pictures, rows, tables

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
RECORD = os.path.join(ROOT, "bench", "matrix.json")
PAGE = os.path.join(ROOT, "docs", "benchmarks.md")
FOLDER = os.path.join(ROOT, "docs", "pictures")
MARKER = "matrix"
PICTURES = {"matrix-rates.svg": pictures.RATES, "matrix-cpu.svg": pictures.CPU, "matrix-p99.svg": pictures.LATENCY}


def add(kept):
    """Takes what was measured into the record, and draws that."""
    keep(RECORD, rows.merged(read(RECORD) if os.path.exists(RECORD) else None, kept))
    draw()


def draw():
    """Writes the documentation's page and pictures anew."""
    write(read(RECORD), PAGE, FOLDER)


def write_apart(kept, directory):
    """The same into a directory, with the tables as a page of their own."""
    page = os.path.join(directory, "matrix.md")
    with open(page, "w") as file:
        file.write("\n".join([*pages.marks(MARKER), ""]))
    write(kept, page, directory)


def write(kept, page, folder):
    pages.rewrite(page, MARKER, tables.page(kept))
    os.makedirs(folder, exist_ok=True)
    for name, what in PICTURES.items():
        with open(os.path.join(folder, name), "w") as file:
            file.write(pictures.draw(kept, what))


def read(path):
    with open(path) as file:
        return json.load(file)


def keep(path, kept):
    """A run a line, so that a change of one shows as such."""
    head = {name: value for name, value in kept.items() if name != "rows"}
    lines = ",\n".join(json.dumps(row) for row in kept["rows"])
    with open(path, "w") as file:
        file.write(f'{json.dumps(head)[:-1]}, "rows": [\n{lines}\n]}}\n')
