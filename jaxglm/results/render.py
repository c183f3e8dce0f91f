"""A grid of text as plain text, HTML, Markdown and LaTeX."""

from __future__ import annotations

import html
import re
import textwrap
from dataclasses import dataclass

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}",
}  # fmt: skip
#: A minus sign before a number, which is no hyphen.
_MINUS = re.compile(r"(?<![\w.])-(?=[\d.i])")
_MARKDOWN = re.compile(r"([\\`*_|<>~#])")


@dataclass(frozen=True)
class Grid:
    """Lines of cells, the first of each a label.

    Attributes
    ----------
    header : tuple of str
    sections : tuple of lines, which are tuples of str; rules stand between sections
    notes : tuple of str
    """

    header: tuple[str, ...]
    sections: tuple[tuple[tuple[str, ...], ...], ...]
    notes: tuple[str, ...]

    def as_text(self) -> str:
        """Plain text; labels to the left, numbers to the right, marks after numbers so that digits stand in line."""
        lines = [self.header, *(line for section in self.sections for line in section)]
        marks = [max(map(_marks, column)) for column in zip(*lines, strict=True)]
        padded = [tuple(c + " " * (m - _marks(c)) for c, m in zip(line, marks, strict=True)) for line in lines]
        widths = [max(map(len, column)) for column in zip(*padded, strict=True)]
        body = []
        for label, *rest in padded:
            cells = [c.rjust(w) for c, w in zip(rest, widths[1:], strict=True)]
            body.append("  ".join([label.ljust(widths[0]), *cells]).rstrip())
        width = sum(widths) + 2 * (len(widths) - 1)
        double, single = "=" * width, "-" * width
        shown, start = [double, body[0]], 1
        for section in self.sections:
            shown += [single, *body[start : start + len(section)]]
            start += len(section)
        shown.append(double)
        for note in self.notes:
            shown += textwrap.wrap(note, max(width, 60), subsequent_indent="  ")
        return "\n".join(shown)

    def as_html(self) -> str:
        """An HTML fragment: a table, and the notes as a list."""

        def row(cells: tuple[str, ...], kind: str, rule: bool) -> str:
            style = "border-top:1px solid;" if rule else ""
            label = f"<th style='text-align:left;{style}'>{html.escape(cells[0])}</th>"
            rest = "".join(f"<{kind} style='text-align:right;{style}'>{html.escape(c)}</{kind}>" for c in cells[1:])
            return f"<tr>{label}{rest}</tr>"

        body = "".join(row(line, "td", i == 0) for section in self.sections for i, line in enumerate(section))
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return f"<div><table><thead>{row(self.header, 'th', False)}</thead><tbody>{body}</tbody></table>" + (
            f"<ul>{notes}</ul></div>" if notes else "</div>"
        )

    def as_markdown(self) -> str:
        """A table of GitHub's Markdown, and the notes as a list."""

        def row(cells: tuple[str, ...]) -> str:
            return "| " + " | ".join(map(_markdown, cells)) + " |"

        lines = [row(self.header), "| :--- |" + " ---: |" * (len(self.header) - 1)]
        lines += [row(line) for section in self.sections for line in section]
        notes = [f"- {_markdown(note)}" for note in self.notes]
        return "\n".join([*lines, *([""] if notes else []), *notes])

    def as_latex(self) -> str:
        """A LaTeX tabular that needs no package, with the notes as its last lines."""
        n = len(self.header)

        def row(cells: tuple[str, ...]) -> str:
            # What follows the end of a line must not look like an option of it.
            guard = "{}" if cells[0].startswith(("[", "*")) else ""
            return guard + " & ".join(map(_latex, cells)) + r" \\"

        lines = [rf"\begin{{tabular}}{{l{'r' * (n - 1)}}}", r"\hline", row(self.header)]
        for section in self.sections:
            lines += [r"\hline", *map(row, section)]
        lines.append(r"\hline")
        lines += [
            rf"\multicolumn{{{n}}}{{p{{0.9\linewidth}}}}{{\footnotesize {_latex(note)}}} \\" for note in self.notes
        ]
        return "\n".join([*lines, r"\end{tabular}"])


def _marks(cell: str) -> int:
    """Marks of significance at the end of a cell."""
    return len(cell) - len(cell.rstrip("*"))


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)


def _latex(text: str) -> str:
    """Text with LaTeX's special characters escaped and minus signs set as such."""
    parts = _MINUS.split(text)
    return "$-$".join("".join(_LATEX.get(c, c) for c in part) for part in parts)
