"""The jobs that are there: kept in step with the functions, taken over, or left alone."""

from pathlib import Path

from tests.component.nomad.conftest import Rig
from yurt.outbound.engines.nomad.jobspecs import FUNCTION, read_template
from yurt.ports import Observed


async def test_jobs_of_functions_come_and_go_with_them(rig: Rig) -> None:
    engine = await rig.open()
    one, two = rig.spec().function, rig.spec(function_id="fu-2", name="crop").function
    await engine.tidy([one, two])
    assert len(rig.parents()) == 2
    await engine.tidy([two])
    (left,) = rig.parents()
    assert "crop" in left


async def test_a_job_of_other_settings_is_registered_anew(rig: Rig) -> None:
    engine = await rig.open()
    await engine.tidy([rig.spec().function])
    (name,) = rig.double.cluster.jobs
    before = rig.double.cluster.jobs[name]["Meta"]["yurt_spec"]
    await rig.reopen(mhz_per_core=999)
    await rig.engine.start(rig.spec())
    assert rig.double.cluster.jobs[name]["Meta"]["yurt_spec"] != before


async def test_a_changed_job_specification_reaches_the_jobs_that_are_there(rig: Rig, tmp_path: Path) -> None:
    own = tmp_path / FUNCTION
    own.write_text(read_template(None))
    versions = []
    for change in ("", "", "# changed\n"):
        own.write_text(own.read_text() + change)
        await rig.reopen(jobspecs=tmp_path)
        await rig.engine.tidy([rig.spec().function])
        (job,) = rig.double.cluster.jobs.values()
        versions.append(job["Version"])
    assert versions == [0, 0, 1]


async def test_the_next_engine_takes_over_what_runs(rig: Rig) -> None:
    await rig.reopen(driver="raw_exec")
    job_id = await rig.run(image=None)
    assert await rig.reopen(driver="raw_exec") == [Observed("co-1", job_id)]
    rig.double.cluster.finish(rig.allocation_of(), 0)
    await rig.end_of()


async def test_what_another_installation_has_is_left_alone(rig: Rig) -> None:
    theirs = rig.make(installation="other")
    await theirs.open(lambda _: None)
    try:
        await theirs.start(rig.spec())
        ours = await rig.open()
        await ours.tidy([rig.spec().function])
        (child,) = rig.children()
        assert not rig.double.cluster.jobs[child]["Stop"]
    finally:
        await theirs.close(stop_all=False)
