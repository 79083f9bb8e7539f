"""Text that a spreadsheet would run as a formula is quoted; numbers are not."""

from adderhw.report.csv_cells import cells


def test_formulas_are_quoted_and_numbers_stay():
    assert cells(["=1+1", "+a", "-a", "@a", "\ta", "a=", -1, -0.5, None]) == [
        *("'=1+1", "'+a", "'-a", "'@a", "'\ta", "a="),
        *(-1, -0.5, None),
    ]
    assert cells({"name": "=cmd()", "taps": -3}) == {"name": "'=cmd()", "taps": -3}
