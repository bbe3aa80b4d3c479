"""How a CSV file is written: its encoding, separator and first lines, found out from its beginning.

What the user says goes before what is found; what is found and differs from a plain file is noted.
"""

import codecs
import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import counted, quoted
from pipeline.data.file_kind import file_kind, unpacking
from pipeline.data.source import Findings

SUFFIXES = (".csv", ".tsv", ".txt")  # in any case
HEAD = 1 << 20  # bytes that are looked at; no line may be longer
COLUMNS = 50_000  # the most; a series has thousands at the most
SEPARATORS = (",", ";", "\t", "|")
COMMENT = "#"
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins like UTF-16's
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_EXCEL = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # a first line that only Excel needs
_SEPARATOR = re.compile(r'[^\x00\r\n"\x80-\U0010ffff]')
csv.field_size_limit(HEAD)  # a header of another separator is one field
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x19\x1b-\x1f\ufffd-\uffff]")


@dataclass(frozen=True)
class CsvOptions:
    """What params.yaml or a command says of a file; None: to be found out."""

    date: str | None = "date"  # the column of time stamps
    separator: str | None = None
    decimal: str | None = None
    date_format: str | None = None  # as strptime takes it
    known: tuple[str, ...] = ()  # columns whose future is known
    static: tuple[str, ...] = ()  # columns of one value for each series
    section: str | None = None  # of params.yaml that says so; None: the options of a command

    def key(self, name: str) -> str:
        """What sets an option, for advice."""
        return f"--{name.replace('_', '-')}" if self.section is None else f"{self.section}.{name}"


@dataclass(frozen=True)
class CsvForm:
    """How one file is written."""

    encoding: str
    separator: str
    names: list[str]  # of the columns
    skipped: int  # lines up to and with the header


def csv_form(path: Path, options: CsvOptions, findings: Findings) -> CsvForm:
    """The form of a file. ExpectedError where it is no CSV file; one line of reading goes no further than `HEAD`."""
    if options.separator is not None and not _SEPARATOR.fullmatch(options.separator):
        raise ExpectedError(
            f"{options.key('separator')} = {quoted(options.separator)}: expected one character, such as "
            "; or a tab, and no quotation mark"
        )
    text, encoding, whole = _beginning(path)
    lines = list(io.StringIO(text, newline=""))
    skipped, separator, said = 0, options.separator, options.separator is not None
    for line in lines:
        excel = _EXCEL.fullmatch(line) if not skipped else None
        if excel:
            separator, said = separator or excel[1], True
        elif line.strip() and not line.startswith(COMMENT):
            break
        skipped += 1
    rows = [line for line in lines[skipped:] if line.strip() and not line.startswith(COMMENT)]
    if not rows:
        raise ExpectedError(f"{path} is empty: expected a header and rows, a date and numbers in each")
    try:
        separator = separator or _separator(rows)
        reader = csv.reader(lines[skipped:], delimiter=separator)
        names = [" ".join(name.split()) for name in next(reader)]  # Excel breaks long names over lines
        widths = Counter(len(row) for row in csv.reader(rows[:100], delimiter=separator))
    except csv.Error as error:
        raise ExpectedError(f"{path} is no CSV file: {error}; write it again as one") from error
    skipped += reader.line_num
    if len(rows) == 1:
        if not whole:
            raise too_long(path)
        raise ExpectedError(f"{path} has a header but no rows: expected a date and numbers in each")
    if len(names) > COLUMNS:
        raise ExpectedError(f"{path} has {len(names):,} columns: expected at most {COLUMNS:,}, a channel in each")
    ((columns, times),) = widths.most_common(1)
    if len(names) == 1 and columns > 1 and times > 2:
        raise ExpectedError(
            f"{path} has {counted(columns, 'column')}, but its first line is {quoted(names[0])}: expected their names "
            f"there; drop the lines before the names, or let them begin with {COMMENT}"
        )
    if separator != "," and not said:
        findings.notes.append(f"columns separated by {separator!r}: {options.key('separator')} sets another separator")
    if encoding == "cp1252":
        findings.notes.append("the text is not UTF-8 and was read as Windows-1252: check letters such as ä in names")
    return CsvForm(encoding, separator, names, skipped)


def _beginning(path: Path) -> tuple[str, str, bool]:
    """The first lines of the file, as far as they are whole, its encoding, and whether there are no others."""
    kind = _checked_kind(path)
    if kind:
        raise ExpectedError(f"{path} {kind}")
    with path.open("rb") as stream:
        head = stream.read(HEAD + 1)
    whole = len(head) <= HEAD
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if head.startswith(mark)), None) or _unmarked(head)
    decoder = codecs.getincrementaldecoder(encoding)("replace" if encoding == "cp1252" else "strict")
    try:
        text = decoder.decode(head, final=whole)
    except UnicodeDecodeError as error:
        raise ExpectedError(f"{path} is no CSV file in UTF-8 or another known encoding: {error}") from error
    text = text.removeprefix("\ufeff")
    strange = _NO_TEXT.search(text)
    if strange:
        raise ExpectedError(
            f"{path} is no CSV file: it holds {strange[0]!a}, which no text has, in line "
            f"{text.count(chr(10), 0, strange.start()) + 1:,}; is it a file of another kind, or damaged?"
        )
    if not whole:
        end = max(text.rfind("\n"), text.rfind("\r"))
        if end < 0:
            raise too_long(path)
        text = text[: end + 1]
    return text, encoding, whole


def too_long(path: Path) -> ExpectedError:
    """Said of a file with a line that does not end."""
    return ExpectedError(
        f"{path} has a line of more than {HEAD:,} bytes: expected a row of a date and numbers in each; is it a file of "
        "another kind, or damaged?"
    )


def _checked_kind(path: Path) -> str | None:
    """Why a file is no CSV by its kind; None where it may be one."""
    kind = file_kind(path)
    if kind in ("folder", "zarr"):
        return "is a folder: expected one CSV file with a column of dates"
    unpack = unpacking(path, kind)
    suffix = path.suffix.lower()
    if suffix in (".xlsx", ".xls", ".ods"):
        return "is a workbook: save its sheet as CSV, one row for each time stamp (pandas: read_excel, to_csv)"
    if unpack:
        return f"is packed ({kind}): unpack it ({unpack})"
    if suffix not in SUFFIXES or kind != "other":
        return f"is no CSV file: expected one ({', '.join(SUFFIXES)}) with a column of dates and columns of numbers"
    return None


def _unmarked(head: bytes) -> str:
    """The encoding of a file without a byte order mark. UTF-16 has a zero in every other byte of plain text."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) > 0.3 * len(head) / 2 > 3 * min(even, odd):
        return "utf-16-le" if odd > even else "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "cp1252"  # what Excel writes on Windows in western Europe
    return "utf-8"


def _separator(rows: list[str]) -> str:
    """The separator that most of the first lines have alike, more often first where several do."""
    best, most = SEPARATORS[0], (0.0, 0)
    sample = rows[:100]
    for separator in SEPARATORS:
        widths = Counter(len(row) for row in csv.reader(sample, delimiter=separator))
        header = len(next(csv.reader(sample, delimiter=separator)))
        columns, times = max(widths.items(), key=lambda item: (item[1], item[0]))
        found = (times / len(sample) + (header == columns), columns)
        if columns > 1 and found > most:
            best, most = separator, found
    return best
