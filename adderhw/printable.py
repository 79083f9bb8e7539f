"""Text of others, from files and their names, as it may reach a terminal: nothing in it moves the cursor or runs."""

MOST = 1000  # characters of a message


def printable(text):
    """The text with control characters, and bytes that were no text, as escapes such as \\x1b."""
    return "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in text)


def one_line(message):
    """A message on one line of at most MOST characters, its middle left out where it is longer."""
    line = printable(" ".join(str(message).split()))
    return line if len(line) <= MOST else f"{line[: MOST // 2 - 3]} ... {line[-MOST // 2 + 3 :]}"
