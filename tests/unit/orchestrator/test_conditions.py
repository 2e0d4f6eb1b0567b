"""What an orchestrator says of its own health."""

from unit.orchestrator.test_owned import process

from pentad_chassis.health import HEALTHY, degraded


async def test_it_is_degraded_when_it_is_nearly_full() -> None:
    async with process() as made:
        assert made.owned.condition() == HEALTHY
        await made.take("07-a")
        assert made.owned.condition() == HEALTHY
        await made.take("07-b")
        assert made.owned.condition() == degraded("2 of 2 runs")


async def test_it_is_degraded_until_its_leases_are_renewed_again() -> None:
    async with process() as made:
        await made.take("07-a")
        made.runs.away = True
        assert not await made.leases.renew_all()
        assert made.leases.condition() == degraded(
            "not renewed (STORE_UNAVAILABLE); runs stop here and go to other owners"
        )

        made.runs.away = False
        assert await made.leases.renew_all()
        assert made.leases.condition() == HEALTHY
