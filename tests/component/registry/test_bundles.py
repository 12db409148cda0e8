import pytest

from tests.component.registry.conftest import ROOT, STAGING, House
from yurt.domain import bundle
from yurt.domain.errors import Invalid, NotFound, TooLarge

DATA = bundle.pack({"main.py": b"def f(): pass"})
SHA = bundle.name_of(DATA)


async def test_a_bundle_is_kept_once_and_known_in_its_environment(house: House) -> None:
    kept, new = await house.bundles.put(ROOT, SHA, DATA)
    assert (kept.environment, kept.size_bytes, new) == ("main", len(DATA), True)
    assert await house.bundles.put(ROOT, SHA, DATA) == (kept, False)
    assert await house.bundles.get(ROOT, SHA) == kept
    with pytest.raises(NotFound):
        await house.bundles.get(STAGING, SHA)
    assert (await house.bundles.put(STAGING, SHA, DATA))[1]
    assert house.blobs.kept == {SHA: DATA}


async def test_lost_bytes_are_stored_again(house: House) -> None:
    await house.bundles.put(ROOT, SHA, DATA)
    house.blobs.kept.clear()
    assert (await house.bundles.put(ROOT, SHA, DATA))[1]
    assert house.blobs.kept == {SHA: DATA}


async def test_wrong_bytes_are_refused_and_not_kept(house: House) -> None:
    with pytest.raises(Invalid, match="the body hashes to"):
        await house.bundles.put(ROOT, "0" * 64, DATA)
    with pytest.raises(Invalid, match="not a zip archive"):
        await house.bundles.put(ROOT, bundle.name_of(b"hello"), b"hello")
    with pytest.raises(NotFound):
        await house.bundles.put(STAGING, SHA, DATA, "main")
    assert house.blobs.kept == {}


async def test_too_large_a_bundle_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yurt.usecases.bundles.MAX_BUNDLE_BYTES", len(DATA) - 1)
    with pytest.raises(TooLarge):
        await house.bundles.put(ROOT, SHA, DATA)
