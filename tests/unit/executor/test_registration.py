import pytest

from pentad_executor.registration import reachable_at


@pytest.mark.parametrize(
    ("address", "reachable"),
    [
        ("127.0.0.1:50053", True),
        ("[::1]:50053", True),
        ("executor-0.executor:50053", True),
        ("unix:/run/pentad/executor", True),
        ("unix:/run/pentad/0", True),
        ("0.0.0.0:50053", False),
        ("[::]:50053", False),
        (":50053", False),
        ("127.0.0.1:0", False),
    ],
)
def test_an_address_is_advertised_if_another_process_can_use_it(
    address: str, *, reachable: bool
) -> None:
    assert reachable_at(address) == (address if reachable else "")
