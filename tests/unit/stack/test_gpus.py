import pytest

from scripts.stack.gpus import MODELS, Gpus, parse_gpus


def test_short_names_stand_for_what_the_hardware_reports() -> None:
    assert parse_gpus("h100:2, T4:1") == (Gpus("NVIDIA H100 80GB HBM3", 81559, 2), Gpus("Tesla T4", 15360, 1))


def test_any_model_can_be_written_out() -> None:
    assert parse_gpus("NVIDIA L20/46068:3") == (Gpus("NVIDIA L20", 46068, 3),)


def test_a_node_may_have_none() -> None:
    assert parse_gpus("none") == ()


@pytest.mark.parametrize("name", MODELS)
def test_what_is_written_is_read_again(name: str) -> None:
    (gpus,) = parse_gpus(f"{name}:4")
    assert parse_gpus(str(gpus)) == (gpus,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("h100", "is not MODEL:COUNT"),
        ("h100:0", "from 1 to 1024"),
        ("h100:-1", "is not MODEL:COUNT"),
        ("h101:1", "is neither one of"),
        ("NVIDIA L20/much:1", "MEMORY IN MIB"),
        ("h100:1,h100:2", "comes twice"),
        ("", "is not MODEL:COUNT"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_gpus(text)


def test_each_gpu_of_each_node_has_an_id_that_stays() -> None:
    gpus = Gpus("NVIDIA L4", 23034, 3)
    ids = [*gpus.ids("node-1"), *gpus.ids("node-2")]
    assert len(set(ids)) == 6
    assert ids == [*gpus.ids("node-1"), *gpus.ids("node-2")]
