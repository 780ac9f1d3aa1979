"""Tables and triples as one line of text, inside tf.data."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from mtmoe.tasks.exmix.text_steps import one_line

Features = Mapping[str, tf.Tensor]


def named_cells(table: Features) -> tf.Tensor:
    """Returns `HEADER: VALUE | HEADER: VALUE` of a table of one row.

    Args:
      table: `column_header` and `content`, string [cells].
    """
    return tf.strings.reduce_join(
        tf.strings.join([table["column_header"], table["content"]], separator=": "),
        separator=" | ",
    )


def triples(table: Features) -> tf.Tensor:
    """Returns `SUBJECT | PREDICATE | OBJECT && SUBJECT | ...`.

    Args:
      table: `content` string [cells] and `row_number` int [cells]; a row's cells are
        the parts of a triple, in order.
    """
    rows, row_of_cell = tf.unique(tf.cast(table["row_number"], tf.int32))
    texts = tf.strings.unsorted_segment_join(
        table["content"], row_of_cell, tf.size(rows), separator=" | "
    )
    return tf.strings.reduce_join(texts, separator=" && ")


def totto_table(example: Features) -> tf.Tensor:
    """Returns the highlighted cells of a ToTTo table with their headers.

    The linearisation published with the data (Parikh et al. 2020): a cell's column
    headers are the header cells above it, whatever they span; its row headers those to
    its left.

        <page_title> P </page_title> <section_title> S </section_title> <table>
        <cell> V <col_header> C </col_header> <row_header> R </row_header> </cell>
        </table>

    Args:
      example: `table` of ragged [rows, cells], `highlighted_cells` int [H, 2] (row and
        cell in the row), `table_page_title` and `table_section_title`.
    """
    table = example["table"]
    # Cells one after the other (N of them), and where each is: row, first and last + 1
    # column.
    value_N, header_N = table["value"].flat_values, table["is_header"].flat_values
    row_N = tf.cast(table["value"].value_rowids(), tf.int32)
    width_N = table["column_span"].flat_values
    end_N = tf.cumsum(width_N)
    first_N = tf.gather(table["value"].row_starts(), row_N)
    before_row_N = tf.gather(end_N - width_N, first_N)
    end_N -= before_row_N
    start_N = end_N - width_N

    highlights = tf.reshape(_dense(example["highlighted_cells"]), [-1, 2])
    row_H1, cell_H = highlights[:, :1], highlights[:, 1]
    index_H = cell_H + tf.cast(
        tf.gather(table["value"].row_starts(), row_H1[:, 0]), tf.int32
    )
    index_H1 = index_H[:, tf.newaxis]
    above_HN = (row_N < row_H1) & (start_N < tf.gather(end_N, index_H1))
    above_HN &= end_N > tf.gather(start_N, index_H1)
    left_HN = (row_N == row_H1) & (tf.range(tf.size(value_N)) < index_H1)

    cells = tf.strings.join(
        [
            "<cell> ",
            tf.gather(value_N, index_H),
            " ",
            _headers("col_header", value_N, header_N & above_HN),
            _headers("row_header", value_N, header_N & left_HN),
            "</cell> ",
        ]
    )
    return one_line(
        tf.strings.join(
            [
                _title("page_title", example["table_page_title"]),
                _title("section_title", example["table_section_title"]),
                "<table> ",
                tf.strings.reduce_join(cells),
                "</table>",
            ]
        )
    )


def _dense(cells: tf.Tensor) -> tf.Tensor:
    return cells.flat_values if isinstance(cells, tf.RaggedTensor) else cells


def _headers(tag: str, value_N: tf.Tensor, mask_HN: tf.Tensor) -> tf.Tensor:
    text_N = tf.strings.join([f"<{tag}> ", value_N, f" </{tag}> "])
    return tf.strings.reduce_join(tf.where(mask_HN, text_N, ""), axis=1)


def _title(tag: str, text: tf.Tensor) -> tf.Tensor:
    return tf.where(
        tf.strings.length(text) > 0,
        tf.strings.join([f"<{tag}> ", text, f" </{tag}> "]),
        "",
    )
