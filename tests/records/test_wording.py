"""Templates: which texts fit, what stands in their variables' places, and what is none."""

import pytest

from lucy_core.records.wording import Template, filled_in


@pytest.mark.parametrize(
    ("template", "text", "variables"),
    (
        ("peer $peer banned", "peer a7 banned", {"peer": "a7"}),
        ("peer $peer banned", "peer $peer banned", {}),
        ("peer $peer banned", "peer a7 joined", None),
        ("${who}s and $_others1.", "peers and all.", {"who": "peer", "_others1": "all"}),
        ("$same is not $same", "a is not b", {"same": "a"}),
        ("$größe m", "7 m", {"größe": "7"}),
        ("paid $5 to $whom", "paid $5 to a7", {"whom": "a7"}),
        ("paid $5 to $whom", "paid $7 to a7", None),
        ("${5} and $2nd, $$name", "${5} and $2nd, $a", {"name": "a"}),
        ("${5} and $2nd, $$name", "x and y, $a", None),
    ),
)
def test_a_variable_begins_with_a_letter_or_an_underscore_and_all_else_is_itself(
    template: str, text: str, variables: dict[str, str] | None
) -> None:
    assert Template(template).variables(text) == variables


def test_a_text_in_which_nothing_is_a_variable_is_no_template_and_is_searched_for_whole() -> None:
    plain = Template("paid $5, or $ 7")
    assert not plain.has_variables
    assert plain.literal == plain.text
    assert Template("paid $5 to $whom").literal == "paid $5 to "


def test_only_variables_are_filled_in() -> None:
    assert filled_in("$5 for $n of $m", {"5": "five", "n": "1"}) == ("$5 for 1 of $m", {"n", "m"})
