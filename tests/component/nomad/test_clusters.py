"""Clusters that are not to be used as they are."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import certificate, tls_of
from tests.component.nomad.conftest import Rig
from tests.fakes.nomad.cluster import RefusedByNomad
from tests.fakes.nomad.server import NomadDouble
from tests.unit.nomad.cases import settings
from yurt.outbound.engines.nomad import Doctor
from yurt.ports import ClusterRefused


async def refused(rig: Rig, **changes: object) -> str:
    """Why the engine does not open."""
    engine = rig.make(**changes)
    try:
        with pytest.raises(ClusterRefused) as error:
            await engine.open(rig.reports.append)
    finally:
        await engine.close(stop_all=False)
    return str(error.value)


async def test_a_cluster_without_acls_needs_a_word_that_names_the_danger(rig: Rig) -> None:
    rig.double.tokens = {}
    message = await refused(rig)
    assert "has no ACLs" in message
    assert "every function could command the whole cluster" in message
    assert "--nomad-functions-may-command-cluster" in message
    engine = rig.make(without_acls=True)
    await engine.open(rig.reports.append)
    await engine.close(stop_all=False)


async def test_an_unknown_token_is_named(rig: Rig) -> None:
    message = await refused(rig, token="nobodys")
    assert "does not know this server's token" in message
    assert "--nomad-token-file" in message


async def test_an_old_nomad_is_named_with_its_version(rig: Rig) -> None:
    rig.double.version = "1.9.7"
    assert "is of version 1.9.7; Yurt needs 1.10" in await refused(rig)


async def test_a_cluster_that_does_not_answer_is_named(rig: Rig, double: NomadDouble) -> None:
    await double.stop()
    message = await refused(rig)
    assert message == (
        f"Nomad at {double.address} does not answer: Connection refused. Give its address with --nomad-address."
    )
    await double.start()


async def test_a_cluster_without_a_leader_is_told_in_nomads_words(rig: Rig) -> None:
    rig.double.knobs.leaderless = True
    assert "does not answer: No cluster leader" in await refused(rig)


async def test_a_region_that_is_not_there_is_no_wrong_address(rig: Rig) -> None:
    rig.double.knobs.answers["/v1/acl/token/self"] = (500, "No path to region")
    message = await refused(rig, region="mars")
    assert "No path to region" in message
    assert "--nomad-region" in message


async def test_a_token_that_may_not_have_job_specifications_read_is_told_its_right(rig: Rig) -> None:
    rig.double.knobs.answers["/v1/jobs/parse"] = (403, "Permission denied")
    message = await refused(rig)
    assert 'capabilities = ["submit-job"' in message
    assert "specification of functions" not in message, "nothing is wrong with it"


async def test_a_cluster_with_a_certificate_of_its_own(rig: Rig, double: NomadDouble, tmp_path: Path) -> None:
    """Commands and the stream of events both go by the authority that is named, and by no other."""
    own, other = certificate(tmp_path / "own"), certificate(tmp_path / "other")
    await double.stop()
    await double.start(tls_of(own))
    rig.engine = rig.make(ca_file=own)
    await rig.open()
    for ca_file in (other, None):
        message = await refused(rig, ca_file=ca_file)
        assert "certificate verify failed" in message
        assert "--nomad-ca-file" in message
    findings = [one async for one in Doctor(settings(address=double.address), "/healthz").examine()]
    assert ["--nomad-ca-file" in one.todo for one in findings] == [True]


async def test_a_job_specification_that_is_wrong_is_told_in_nomads_words(rig: Rig) -> None:
    said = "Failed to parse job: input.hcl:12,3-8: Unsupported argument"
    rig.double.knobs.answers["/v1/jobs/parse"] = (400, said)
    assert "input.hcl:12,3-8" in await refused(rig)


@pytest.mark.parametrize("part", ["web", "devices"])
async def test_every_part_of_a_job_specification_is_tried_at_the_start(rig: Rig, part: str) -> None:
    usual = rig.double.parse

    def refuse(hcl: str, variables: str) -> dict[str, Any]:
        spec = json.loads(json.loads(variables.removeprefix("spec = ").replace("$${", "${")))
        if spec[part]:
            raise RefusedByNomad(f"input.hcl:7,1-2: no {part}", 400)
        return usual(hcl, variables)

    rig.double.parse = refuse
    assert f"no {part}" in await refused(rig, finds_servers=True)


async def test_a_folder_without_a_job_specification_is_named(rig: Rig, tmp_path: Path) -> None:
    message = await refused(rig, jobspecs=tmp_path)
    assert str(tmp_path / "function.nomad.hcl") in message
