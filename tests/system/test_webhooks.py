"""Webhooks hear what became of runs: later, if need be, but in order, and signed."""

import json
import time
from collections import defaultdict
from collections.abc import Callable

import pytest
from harness.builders import agent, answer, ask
from harness.receiver import Receiver, receiving, verify_of_the_page
from harness.suite import Kit, Suite, free_port, until

from pentad.gateway.v1.run_service_pb2 import CancelRunRequest, PauseRunRequest
from pentad.gateway.v1.webhook_service_pb2 import (
    CreateWebhookRequest,
    CreateWebhookResponse,
    DeleteWebhookRequest,
    GetWebhookRequest,
    ListDeadLettersRequest,
    ListWebhooksRequest,
    RedeliverDeadLetterRequest,
)
from pentad.state.v1.run_pb2 import RunStatus
from pentad.state.v1.webhook_pb2 import DeadLetter, Webhook
from pentad_chassis.errors import AlreadyExists, InvalidArgument, NotFound

pytestmark = pytest.mark.system

SPEAKER = agent("speaker", answer("hello"))
LATER_S = 60.0
"""Attempts become rare while nothing is taken, and machines may be slow."""


async def register(
    kit: Kit, url: str, name: str = "hook", *notices: Webhook.Notice.ValueType, request_id: str = ""
) -> CreateWebhookResponse:
    webhook = Webhook(name=name, url=url, notices=notices)
    request = CreateWebhookRequest(webhook=webhook, request_id=request_id)
    return await kit.client.webhooks.CreateWebhook(request)


async def paused_then_cancelled(kit: Kit) -> str:
    """Return a run that was paused, and cancelled once it was: of both there is a notice."""
    spec = ask("speaker")
    spec.callbacks.append("hook")
    spec.start_time.FromSeconds(int(time.time()) + 3600)
    run_id = (await kit.create(spec)).run_id
    await kit.client.runs.PauseRun(PauseRunRequest(run_id=run_id))

    async def is_paused() -> bool:
        return (await kit.get(run_id)).status.state == RunStatus.STATE_PAUSED

    await until(is_paused, LATER_S)
    await kit.client.runs.CancelRun(CancelRunRequest(run_id=run_id))
    await kit.wait(run_id)
    return run_id


async def completed(kit: Kit) -> str:
    spec = ask("speaker")
    spec.callbacks.append("hook")
    run_id = (await kit.create(spec)).run_id
    assert (await kit.wait(run_id)).status.state == RunStatus.STATE_COMPLETED
    return run_id


async def came(receiver: Receiver, more: int) -> None:
    """Return once so many more requests have come."""
    wanted = len(receiver.came) + more

    async def enough() -> bool:
        return len(receiver.came) >= wanted

    await until(enough, LATER_S, f"{more} more requests")


def told(receiver: Receiver, secret: str) -> dict[str, list[str]]:
    """Return what the receiver was told of each run, each notice verified as the page says."""
    verify = verify_of_the_page()
    found: defaultdict[str, list[str]] = defaultdict(list)
    for request in receiver.taken:
        assert verify(secret, request.headers["pentad-signature"], request.body)
        notice = request.json()
        assert request.headers["pentad-event-id"] == notice["id"]
        if notice["type"] not in found[notice["run"]["run_id"]]:  # it may have come twice
            found[notice["run"]["run_id"]].append(notice["type"])
    return dict(found)


async def all_told(receiver: Receiver, secret: str, expected: dict[str, list[str]]) -> None:
    async def is_all() -> bool:
        return told(receiver, secret) == expected

    await until(is_all, LATER_S, f"{expected} instead of {told(receiver, secret)}")


@pytest.mark.parametrize(
    "new_suite", ["one", pytest.param("five", marks=pytest.mark.long)], indirect=True
)
async def test_a_receiver_that_fails_hangs_and_disappears_hears_everything_later_and_in_order(
    new_suite: Callable[..., Suite],
) -> None:
    port, receiver = free_port(), Receiver()
    suite = new_suite(PENTAD_TOOLS_WEBHOOK_ALLOW=f"*,127.0.0.1:{port}")
    async with suite.open() as kit:
        await kit.apply(SPEAKER)
        secret = (await register(kit, f"http://127.0.0.1:{port}/notices")).secret
        both = ["run_paused", "run_cancelled"]
        expected = {await paused_then_cancelled(kit): both, await completed(kit): ["run_completed"]}

        receiver.mood = "fails"
        async with receiving(receiver, port):
            await came(receiver, 2)
            receiver.mood = "hangs"
            await came(receiver, 2)
            expected[await paused_then_cancelled(kit)] = both
        receiver.mood = "takes"
        async with receiving(receiver, port):
            await all_told(receiver, secret, expected)

    assert secret not in suite.tail_of_log()


@pytest.mark.long
async def test_notices_outlive_a_kill_of_everything(new_suite: Callable[..., Suite]) -> None:
    port, receiver = free_port(), Receiver(mood="hangs")
    suite = new_suite(PENTAD_TOOLS_WEBHOOK_ALLOW=f"127.0.0.1:{port}")
    async with suite.open() as kit:
        await kit.apply(SPEAKER)
        secret = (await register(kit, f"http://127.0.0.1:{port}/")).secret
        async with receiving(receiver, port):
            run_id = await paused_then_cancelled(kit)
            await came(receiver, 1)
            suite.kill9()
    suite.restart()

    receiver.mood = "takes"
    async with receiving(receiver, port):
        # What was being posted is posted again once its lease is over, which takes half a minute.
        async with suite.open() as kit:
            other = await completed(kit)
        expected = {run_id: ["run_paused", "run_cancelled"], other: ["run_completed"]}

        async def is_all() -> bool:
            return told(receiver, secret) == expected

        await until(is_all, 3 * LATER_S)


@pytest.mark.parametrize("new_suite", ["one"], indirect=True)
async def test_a_notice_that_nobody_takes_becomes_a_dead_letter_that_can_be_sent_again(
    new_suite: Callable[..., Suite],
) -> None:
    port, receiver = free_port(), Receiver(mood="fails")
    suite = new_suite(
        PENTAD_TOOLS_WEBHOOK_ALLOW=f"127.0.0.1:{port}", PENTAD_TOOLS_WEBHOOK_MAX_AGE_S="1"
    )
    async with suite.open() as kit, receiving(receiver, port):
        await kit.apply(SPEAKER)
        secret = (await register(kit, f"http://127.0.0.1:{port}/")).secret
        run_id = await completed(kit)

        async def letters() -> list[DeadLetter]:
            listed = await kit.client.webhooks.ListDeadLetters(ListDeadLettersRequest())
            return list(listed.dead_letters)

        async def is_dead() -> bool:
            return bool(await letters())

        await until(is_dead, LATER_S)
        (letter,) = await letters()
        assert (letter.webhook, letter.run_id, letter.type) == ("hook", run_id, "run_completed")
        assert letter.last_error == "answered 500"
        assert letter.expire_time.seconds - letter.create_time.seconds == 30 * 86_400
        assert suite.pentad("webhook", "dead-letters").stdout.startswith(letter.dead_letter_id)

        receiver.mood = "takes"
        assert suite.pentad("webhook", "redeliver", letter.dead_letter_id).returncode == 0
        await all_told(receiver, secret, {run_id: ["run_completed"]})

        async def is_gone() -> bool:
            return not await letters()

        await until(is_gone, LATER_S)
        with pytest.raises(NotFound) as none:
            await kit.client.webhooks.RedeliverDeadLetter(
                RedeliverDeadLetterRequest(dead_letter_id=letter.dead_letter_id)
            )
        assert none.value.reason == "DEAD_LETTER_NOT_FOUND"


@pytest.mark.parametrize("suite", ["one"], indirect=True)
async def test_a_webhook_shows_its_secret_once(kit: Kit, suite: Suite) -> None:
    made = await register(kit, "https://example.com/a", "once", request_id="r1")

    assert len(made.secret) > 40
    again = await register(kit, "https://example.com/a", "once", request_id="r1")
    assert (again.secret, again.webhook) == (made.secret, made.webhook)
    found = await kit.client.webhooks.GetWebhook(GetWebhookRequest(name="once"))
    assert found.webhook == made.webhook
    listed = await kit.client.webhooks.ListWebhooks(ListWebhooksRequest())
    assert [each.name for each in listed.webhooks if each.name == "once"] == ["once"]
    shown = suite.pentad("webhook", "list", "--json")
    assert made.webhook.url in shown.stdout
    assert made.secret not in shown.stdout
    with pytest.raises(AlreadyExists) as refused:
        await register(kit, "https://example.com/b", "once")
    assert refused.value.reason == "WEBHOOK_ALREADY_EXISTS"

    await kit.client.webhooks.DeleteWebhook(DeleteWebhookRequest(name="once"))
    with pytest.raises(NotFound) as gone:
        await kit.client.webhooks.GetWebhook(GetWebhookRequest(name="once"))
    assert gone.value.reason == "WEBHOOK_NOT_FOUND"


@pytest.mark.parametrize("suite", ["one"], indirect=True)
async def test_a_webhook_can_be_made_with_a_secret_of_ones_own(kit: Kit, suite: Suite) -> None:
    del kit
    secret = "a-secret-of-my-own"
    arguments = ("webhook", "create", "mine", "https://example.com/", "--on", "terminal")
    made = suite.pentad(*arguments, "--secret-from-stdin", "--json", given=f"{secret}\n")

    assert json.loads(made.stdout)["webhook"]["notices"] == ["NOTICE_TERMINAL"]
    assert json.loads(made.stdout)["secret"] == secret
    assert suite.pentad("webhook", "delete", "mine").returncode == 0


@pytest.mark.parametrize("suite", ["one"], indirect=True)
async def test_what_cannot_be_told_is_refused_at_once(kit: Kit) -> None:
    for url in ("http://127.0.0.1/", "https://10.0.0.7/", "http://[::1]/"):
        with pytest.raises(InvalidArgument) as private:
            await register(kit, url, "private")
        assert private.value.reason == "WEBHOOK_ADDRESS_REFUSED"
    wrong = ("ftp://example.com/", "https://", "https://a:b@example.com/", "https://exämple.com/")
    for url in (*wrong, "https://example.com/#a", "https://example.com:99999/"):
        with pytest.raises(InvalidArgument) as malformed:
            await register(kit, url, "malformed")
        assert [each.field for each in malformed.value.violations] == ["webhook.url"]
    await kit.apply(SPEAKER)
    spec = ask("speaker")
    spec.callbacks.append("nobody")
    with pytest.raises(NotFound) as missing:
        await kit.create(spec)
    assert missing.value.reason == "WEBHOOK_NOT_FOUND"
    spec.callbacks.append("nobody")
    with pytest.raises(InvalidArgument) as twice:
        await kit.create(spec)
    assert [each.field for each in twice.value.violations] == ["spec.callbacks[1]"]
