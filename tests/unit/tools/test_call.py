from hypothesis import given
from hypothesis import strategies as st

from pentad_tools.call import fingerprint


def test_the_layout_of_the_json_does_not_matter() -> None:
    one = fingerprint("pay", '{"amount": 3, "to": "\u00e9"}')

    assert one == fingerprint("pay", '{ "to":"\\u00e9","amount":3 }')
    assert len(one) == 32


def test_tool_and_every_argument_matter() -> None:
    prints = {
        fingerprint("pay", '{"amount": 3}'),
        fingerprint("pay", '{"amount": 4}'),
        fingerprint("pay", '{"amount": "3"}'),
        fingerprint("pay", '{"sum": 3}'),
        fingerprint("refund", '{"amount": 3}'),
    }

    assert len(prints) == 5


@given(st.text(), st.text())
def test_no_text_can_pretend_to_be_another_tool(tool: str, text: str) -> None:
    assert fingerprint("pay", "{}") != fingerprint(f"pay{tool}\n", f'{{"a": {len(text)}}}')
