"""The suite that every log format has to pass. For authors of formats; needs pytest.

::

    from lucy_core.testing.format_conformance import FormatConformance
    from my_format import MyFormat

    class TestMyFormat(FormatConformance):
        log_format = MyFormat()
        lines = (b"<3> disk full", b"<6> started in 3 ms", b"<6> listening on :80")

It makes blocks of your lines, whole, cut, torn and broken by chance (the same chance each time), and holds what is read
of them to the contract of `lucy_core.formats.contract.Format`: each line once and in its place, however it was cut; no
exception, whatever it says; and no wanted event missed by a search for the bytes that the format promises.
"""

import pytest

# Before it is imported: a failed assertion shows its values.
pytest.register_assert_rewrite(f"{__name__}.suite", f"{__name__}.material")

from lucy_core.testing.format_conformance.suite import FormatConformance as FormatConformance  # noqa: E402
