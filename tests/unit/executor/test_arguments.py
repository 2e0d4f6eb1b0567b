import pytest

from pentad_executor.arguments import to_payload, told_back


@pytest.mark.parametrize("text", ['{"key": 1}', " {}\n"])
def test_an_object_goes_on_as_it_was_written(text: str) -> None:
    payload = to_payload(text)

    assert (payload.content_type, payload.text) == ("application/json", text)


@pytest.mark.parametrize("text", ['{"key": ', "[1]", "7", "null", "[" * 100_000])
def test_what_is_no_object_goes_on_as_text_and_is_quoted_to_its_model(text: str) -> None:
    assert to_payload(text).content_type == "text/plain"
    assert to_payload(text).text == text
    assert told_back(text) == {"INVALID_JSON": text}


def test_nothing_stands_for_no_arguments() -> None:
    assert to_payload("").text == "{}"
    assert told_back("") == {}
