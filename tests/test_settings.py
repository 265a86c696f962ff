"""Settings fail loudly, and say where and how to mend."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

import settings
from settings import ROOT, SettingsError, load

TOPIC = '[[topics]]\nid = "a"\nname = "A"\nkind = "brand"\nquery = "q"\n'


def loading(tmp_path: Path, text: str, **environ: str) -> settings.Settings:
    path = tmp_path / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ)


def error_of(tmp_path: Path, text: str, **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        loading(tmp_path, text, **environ)
    return str(caught.value)


def test_the_shipped_file_loads_and_holds_the_sample_brand() -> None:
    shipped = load(ROOT / "settings.toml", {})
    assert "shanlan" in {topic.id for topic in shipped.topics}
    assert shipped.sample.enabled


def test_every_option_is_in_the_shipped_file_with_a_comment_or_beside_one() -> None:
    text = (ROOT / "settings.toml").read_text(encoding="utf-8")
    for section, info in settings.Settings.model_fields.items():
        for key in settings._keys_at((section,)):
            assert re.search(rf"^#? ?{key} = ", text, re.M), f"[{section}] {key} is not in settings.toml"
        assert info is not None


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml.*WENSHENG_SETTINGS"):
        load(tmp_path / "nowhere.toml", {})


def test_broken_toml_is_named_with_its_line(tmp_path: Path) -> None:
    assert "line 2" in error_of(tmp_path, "[service]\nport = = 3\n")


def test_an_unknown_key_is_named_with_its_line_and_the_likely_one(tmp_path: Path) -> None:
    message = error_of(tmp_path, "[service]\nport = 80\nprt = 8501\n")
    assert "第 3 行" in message
    assert "service.prt" in message
    assert "是否想写 port" in message


def test_a_wrong_type_is_named_with_its_line_and_what_is_wanted(tmp_path: Path) -> None:
    message = error_of(tmp_path, '[crawl]\nmax_pages = "many"\n')
    assert "第 2 行" in message
    assert "'many'" in message
    assert "整数" in message


def test_a_wrong_key_in_the_second_of_two_tables_is_found_in_the_second(tmp_path: Path) -> None:
    message = error_of(tmp_path, TOPIC + TOPIC.replace('"a"', '"b"') + "kin = 3\n")
    assert "第 11 行" in message


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("WENSHENG_STOR__BACKEND", "WENSHENG_STORE__BACKEND"),
        ("WENSHENG_SERVICE__PRT", "port"),
        ("WENSHENG_DATADIR", "WENSHENG_DATA_DIR"),
    ],
)
def test_a_misspelt_variable_is_named_with_the_likely_one(tmp_path: Path, name: str, wanted: str) -> None:
    message = error_of(tmp_path, "", **{name: "1"})
    assert name in message
    assert wanted in message


def test_a_variable_wins_over_the_file(tmp_path: Path) -> None:
    assert loading(tmp_path, "[service]\nport = 80\n", WENSHENG_SERVICE__PORT="81").service.port == 81


def test_a_wrong_value_in_a_variable_names_the_variable(tmp_path: Path) -> None:
    assert "WENSHENG_SERVICE__PORT" in error_of(tmp_path, "", WENSHENG_SERVICE__PORT="http")


def test_a_whole_list_can_come_from_a_variable(tmp_path: Path) -> None:
    value = '[{"id": "b", "name": "B", "kind": "brand", "query": "x"}]'
    assert [topic.id for topic in loading(tmp_path, TOPIC, WENSHENG_TOPICS=value).topics] == ["b"]


def test_variables_that_hold_secrets_are_known(tmp_path: Path) -> None:
    text = '[[channels]]\nid = "w"\nkind = "wecom"\nurl_env = "WENSHENG_BOT_URL"\n'
    assert loading(tmp_path, text, WENSHENG_BOT_URL="https://example.com/x").channels[0].url_env


def test_a_rule_for_an_unknown_topic_is_refused(tmp_path: Path) -> None:
    text = (
        TOPIC.replace('"a"', '"shanlan"') + '[[rules]]\nid = "r"\nname = "R"\nkind = "spike"\ntopics = ["shanlang"]\n'
    )
    message = error_of(tmp_path, text)
    assert "shanlang" in message
    assert "shanlan" in message


def test_the_same_id_twice_is_refused(tmp_path: Path) -> None:
    assert "重复" in error_of(tmp_path, TOPIC + TOPIC)


def test_an_enabled_source_needs_its_legal_basis(tmp_path: Path) -> None:
    text = '[[sources]]\nid = "s"\nname = "S"\nkind = "feed"\nplatform = "p"\nurl = "https://example.com"\n'
    assert "basis" in error_of(tmp_path, text)
    assert not loading(tmp_path, text + "enabled = false\n").sources[0].enabled


def test_the_data_folder_can_be_named_by_a_variable(tmp_path: Path) -> None:
    assert loading(tmp_path, "", WENSHENG_DATA_DIR=str(tmp_path / "d")).store_path == tmp_path / "d" / "wensheng.db"


def test_sources_and_channels_of_the_sample_follow_its_port() -> None:
    shipped = load(ROOT / "settings.toml", {"WENSHENG_SAMPLE__PORT": "9001"})
    assert all(source.url.startswith("http://127.0.0.1:9001/") for source in shipped.sources)
    assert shipped.channels[0].url == "http://127.0.0.1:9001/inbox"


@given(st.text(max_size=200))
@settings_of_hypothesis(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_loads_or_is_refused_with_a_message(tmp_path: Path, text: str) -> None:
    path = tmp_path / "any.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        loaded = load(path, {})
    except SettingsError:
        return
    assert isinstance(loaded, settings.Settings)
