"""Notices on their way to a receiver on loopback."""

from collections.abc import AsyncIterator

import pytest
from harness.receiver import Receiver, receiving, verify_of_the_page

from pentad_chassis.clock import FakeClock, SystemClock
from pentad_tools.errors import WebhookAddressRefused
from pentad_tools.webhooks import posting
from pentad_tools.webhooks.notices import Notice
from pentad_tools.webhooks.posting import NotDelivered, Poster, signature

SECRET = "whsec_of-the-test"
NOTICE = Notice("run/3", 3, "run_completed", 1_800_000_000_000, '{"id":"run/3","ü":1}'.encode())
verify = verify_of_the_page()


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
async def url(receiver: Receiver) -> AsyncIterator[str]:
    async with receiving(receiver, 0) as address:
        yield address


def poster(url: str) -> Poster:
    host = url.removeprefix("http://").partition("/")[0]
    return Poster((host, host.replace("127.0.0.1", "localhost")), SystemClock())


async def test_a_notice_is_posted_signed_and_named(receiver: Receiver, url: str) -> None:
    await poster(url).post(url, SECRET, NOTICE)

    (request,) = receiver.taken
    assert (request.method, request.path, request.body) == ("POST", "/notices", NOTICE.body)
    assert request.headers["pentad-event-id"] == "run/3"
    assert request.headers["content-type"] == "application/json"
    header = request.headers["pentad-signature"]
    assert verify(SECRET, header, request.body)
    assert not verify("whsec_of-another", header, request.body)
    assert not verify(SECRET, header, request.body + b" ")
    assert not verify(SECRET, header.replace("v1=", "v1=0"), request.body)
    assert not verify(SECRET, "", request.body)


def test_an_old_signature_is_refused_by_the_sample() -> None:
    old = int(SystemClock().now()) - 301

    assert not verify(SECRET, signature(SECRET, b"{}", old), b"{}")
    assert verify(SECRET, signature(SECRET, b"{}", old), b"{}", tolerance_s=3600)


async def test_a_name_is_looked_up_and_sent_as_host(receiver: Receiver, url: str) -> None:
    named = url.replace("127.0.0.1", "localhost")

    await poster(url).post(named, SECRET, NOTICE)

    assert receiver.taken[0].headers["host"] == named.removeprefix("http://").partition("/")[0]


async def test_what_is_no_success_is_no_delivery(receiver: Receiver, url: str) -> None:
    receiver.mood = "fails"

    with pytest.raises(NotDelivered, match="answered 500"):
        await poster(url).post(url, SECRET, NOTICE)


async def test_a_receiver_that_hangs_is_left(
    receiver: Receiver, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "POST_S", 0.2)
    receiver.mood = "hangs"

    with pytest.raises(NotDelivered, match="no answer within"):
        await poster(url).post(url, SECRET, NOTICE)


async def test_a_receiver_that_is_not_there_is_no_delivery(receiver: Receiver) -> None:
    async with receiving(receiver, 0) as gone:
        pass

    with pytest.raises(NotDelivered, match="no connection"):
        await poster(gone).post(gone, SECRET, NOTICE)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_private_addresses_are_not_posted_to(host: str) -> None:
    with pytest.raises(NotDelivered, match="may be reached"):
        await Poster(("*",), SystemClock()).post(f"http://{host}/", SECRET, NOTICE)


async def test_redirects_are_not_followed(receiver: Receiver, url: str) -> None:
    receiver.mood = "redirects"

    with pytest.raises(NotDelivered, match="answered 302"):
        await poster(url).post(url, SECRET, NOTICE)

    assert len(receiver.came) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://10.0.0.7/a", "https://[::1]/", "https://[fd00::1]:443/",
        "http://169.254.169.254/", "http://93.184.215.14:8080/",
    ],
)  # fmt: skip
async def test_addresses_that_are_not_allowed_are_refused_at_creation(url: str) -> None:
    with pytest.raises(WebhookAddressRefused) as refused:
        await Poster(("*",), FakeClock()).check(url)

    assert [violation.field for violation in refused.value.violations] == ["webhook.url"]


@pytest.mark.parametrize("url", ["https://93.184.215.14/", "https://localhost/", "http://a.b/"])
async def test_names_and_public_addresses_are_accepted(url: str) -> None:
    await Poster(("*",), FakeClock()).check(url)


async def test_an_address_that_is_named_in_full_is_accepted() -> None:
    await Poster(("*", "10.0.0.7:8080"), FakeClock()).check("http://10.0.0.7:8080/a")
