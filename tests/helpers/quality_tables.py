"""Quality tables as a run writes them."""

import csv

from evaluation.quality_table import HEADER, format_row


def write_quality_table(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([HEADER, *map(format_row, rows)])
