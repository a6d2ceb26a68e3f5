import re
import stat
import tomllib
from pathlib import Path

import click
from click.testing import CliRunner

from service.cli.configuration import config_option, load_settings
from service.cli.example import EXAMPLE
from service.settings import load, parse
from tests.cli.command import settled

DEPLOYED = Path(__file__).parents[2] / "deploy" / "settled.example.toml"
WHSK = "whsk_" + "Q" * 43 + "="
WHSEC = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"


def test_what_init_writes_loads_without_any_environment(tmp_path: Path) -> None:
    written = settled("init", folder=tmp_path)

    assert written.returncode == 0
    assert written.stdout == ""
    settings = load(tmp_path / "settled.toml", {})
    assert settings.database.embedded
    assert settings.settled.mode == "test"


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    (tmp_path / "old.toml").touch(mode=0o644)
    settled("init", "new.toml", folder=tmp_path)
    settled("init", "old.toml", "--force", folder=tmp_path)

    for name in ("new.toml", "old.toml"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_init_replaces_a_file_only_by_force(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("# mine\n" + "#" * 10_000)

    refused = settled("init", file, folder=tmp_path)
    assert refused.returncode == 7
    assert "--force" in refused.stderr
    assert file.read_text().startswith("# mine")

    assert settled("init", file, "--force", folder=tmp_path).returncode == 0
    assert file.read_text() == EXAMPLE


def test_a_dry_init_prints_the_file_and_writes_none(tmp_path: Path) -> None:
    shown = settled("init", "--dry-run", folder=tmp_path)

    assert (shown.returncode, shown.stdout) == (0, EXAMPLE)
    assert not (tmp_path / "settled.toml").exists()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    ended = settled("init", "none/settled.toml", folder=tmp_path)

    assert ended.returncode == 1
    assert "none/settled.toml" in ended.stderr


def test_the_example_for_deployment_is_what_init_writes() -> None:
    assert DEPLOYED.read_text() == EXAMPLE


def test_the_settings_in_comments_load_as_well() -> None:
    text = re.sub(r"^#(?=\S)", "", EXAMPLE, flags=re.MULTILINE)
    names = re.findall(r'"([A-Z][A-Z0-9_]+)"', text)
    environ = dict.fromkeys(names, WHSEC)
    environ |= {"ERP_REDIS_URL": "redis://erp.example", "ERP_ED25519": WHSK}
    settings = parse(tomllib.loads(text), source="example", environ=environ, base=Path("/nowhere"))

    assert len(settings.accounts) == 5
    assert [each.kind for each in settings.endpoints] == ["webhook", "recipe", "file", "stream"]


def test_a_verb_with_the_option_gets_the_file_that_it_names(tmp_path: Path) -> None:
    @click.command()
    @config_option
    def show(config: Path | None) -> None:
        click.echo(load_settings(config).settled.listen)

    file = tmp_path / "mine.toml"
    file.write_text('[settled]\nlisten = "127.0.0.1:1234"\n')

    named = CliRunner().invoke(show, ["--config", str(file)])
    assert named.stdout == "127.0.0.1:1234\n"
    assert CliRunner().invoke(show, env={"SETTLED_CONFIG": str(file)}).stdout == named.stdout
