from pathlib import Path

import pytest

from yurt.settings import Address, Settings, load


def test_the_defaults_serve_this_machine_alone() -> None:
    settings = load()

    assert str(settings.listen) == "127.0.0.1:7600"
    assert settings.listen.loopback
    assert settings.data_dir == Path.home() / ".local/share/yurt"
    assert not settings.run_dir.is_relative_to(settings.data_dir)


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YURT_LISTEN", "127.0.0.1:1")
    monkeypatch.setenv("YURT_MAX_CONTAINERS", "3")

    settings = load(listen="[::1]:2", max_containers=None)

    assert settings.listen == Address("::1", 2)
    assert str(settings.listen) == "[::1]:2"
    assert settings.max_containers == 3


def test_each_data_directory_has_a_run_directory_of_its_own() -> None:
    first, second = load(data_dir="/srv/a").run_dir, load(data_dir="/srv/b").run_dir

    assert first != second
    assert first == load(data_dir="/srv/a").run_dir


def test_a_misspelt_variable_is_refused_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YURT_DATADIR", "/srv/yurt")

    with pytest.raises(ValueError, match=r"unknown setting YURT_DATADIR\. Did you mean YURT_DATA_DIR\?"):
        load()


def test_variables_of_the_command_line_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YURT_TOKEN", "tk:secret")

    assert load().engine == "local"


@pytest.mark.parametrize("listen", ["0.0.0.0:7600", "[::]:7600", "192.168.1.4:7600", "yurt.example.org:7600"])
def test_the_local_engine_is_not_served_beyond_this_machine(listen: str) -> None:
    with pytest.raises(ValueError, match="--allow-unisolated"):
        load(listen=listen)

    assert str(load(listen=listen, allow_unisolated=True).listen) == listen


@pytest.mark.parametrize("listen", ["7600", ":7600", "localhost:", "localhost:x", "localhost:65536"])
def test_a_malformed_address_is_refused(listen: str) -> None:
    with pytest.raises(ValueError, match="is not host:port"):
        load(listen=listen)


def test_the_run_directory_may_not_lie_in_the_data_directory() -> None:
    with pytest.raises(ValueError, match="which containers must not reach"):
        load(data_dir="/srv/yurt", run_dir="/srv/yurt/run")


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(load(), "engine", "local")  # noqa: B010 - the type checker would not let an assignment pass


def test_the_store_is_in_sqlite_unless_a_url_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().store_url is None
    monkeypatch.setenv("YURT_STORE", "postgresql://yurt:hush@db/yurt")
    monkeypatch.setenv("YURT_DURABILITY", "")
    settings = load()
    assert settings.store_url == "postgresql://yurt:hush@db/yurt"
    assert "hush" not in repr(settings)


@pytest.mark.parametrize("url", ["mysql://hush@db/yurt", "/srv/hush.db", "sqlite:///hush.db"])
def test_a_store_elsewhere_than_in_postgresql_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="postgresql://user@host:port/database") as refused:
        load(store=url)
    assert "hush" not in str(refused.value)


def test_a_level_of_durability_is_a_choice_of_sqlite() -> None:
    assert load(durability="power").durability == "power"
    with pytest.raises(ValueError, match="Leave out one of the two"):
        load(durability="process", store="postgresql://db/yurt")


def test_the_key_of_secrets_is_checked_at_the_start_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "a2V5" * 10 + "a2U="
    monkeypatch.setenv("YURT_SECRET_KEY", key)
    assert key not in repr(load())
    with pytest.raises(ValueError, match="Leave out one of the two") as both:
        load(secret_key_file="/srv/key")
    monkeypatch.setenv("YURT_SECRET_KEY", "hush")
    with pytest.raises(ValueError, match="32 random bytes in base64") as refused:
        load()
    assert key not in str(both.value)
    assert "hush" not in str(refused.value)


def test_environments_lie_where_programs_can_run() -> None:
    assert load(run_dir="/srv/run").environments_dir == Path("/srv/run/environments")
    in_memory = load(run_dir="/run/yurt-7").environments_dir
    assert not in_memory.is_relative_to("/run")
    assert in_memory.name == "yurt-7"


def test_installers_get_the_variables_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example.org")
    monkeypatch.setenv("YURT_SECRET_KEY_FILE", "/etc/key")

    assert load().installer_variables() == {}
    assert load(requirements_env="PIP_INDEX_URL").installer_variables() == {
        "PIP_INDEX_URL": "https://index.example.org"
    }
    with pytest.raises(ValueError, match="the server has no variable PIP_INDX_URL"):
        load(requirements_env="PIP_INDEX_URL, PIP_INDX_URL")
    with pytest.raises(ValueError, match="YURT_SECRET_KEY_FILE is the server's own"):
        load(requirements_env="YURT_SECRET_KEY_FILE")


def test_the_driver_is_looked_for_where_the_server_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/local/nvidia/lib64")
    assert load().driver_variables() == {"LD_LIBRARY_PATH": "/usr/local/nvidia/lib64"}
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    assert load().driver_variables() == {}


def test_models_of_gpus_have_a_type() -> None:
    models = load(gpu_models="NVIDIA A40=A10, NVIDIA GeForce RTX 4090 = l40s,").gpu_models

    assert models == {"NVIDIA A40": "A10", "NVIDIA GeForce RTX 4090": "L40S"}
    for wrong, says in (
        ("NVIDIA A40", "PRODUCT NAME=TYPE"),
        ("=T4", "PRODUCT NAME=TYPE"),
        ("X=A100", "is not one type"),
    ):
        with pytest.raises(ValueError, match=says):
            load(gpu_models=wrong)
    with pytest.raises(ValueError, match="Did you mean H100"):
        load(gpu_models="X=H1OO")
