"""[store] for Elasticsearch: what is refused before any server is asked, and which store it opens."""

import pytest
from pydantic import ValidationError

from index.elastic import ElasticStore
from index.open import open_store
from settings import Settings, SettingsError, StoreSettings, load
from tests.servers.elastic import store_settings


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"hosts": ["127.0.0.1:9200"]}, "https://主机:端口"),
        ({"hosts": ["http://elastic:geheim@127.0.0.1:9200"]}, "https://主机:端口"),
        ({"hosts": ["http://a:9200", "https://b:9200"]}, "都用"),
        ({"hosts": []}, "at least 1"),
        ({"user": "elastic"}, "password_env"),
        ({"user": "elastic", "password_env": "A", "api_key_env": "B"}, "只写一个"),
        ({"ca_file": "ca.pem"}, "https"),
        ({"prefix": "Wen-*"}, "pattern"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(fields, said):
    with pytest.raises(ValidationError, match=said):
        StoreSettings.model_validate({"backend": "elasticsearch", **fields})


def test_variables_that_hold_secrets_are_known_by_their_names_in_the_settings(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text('[store]\nhosts = ["https://es:9200"]\napi_key_env = "WENSHENG_ES_KEY"\n', encoding="utf-8")
    assert load(path, {"WENSHENG_ES_KEY": "x"}).store.api_key_env == "WENSHENG_ES_KEY"
    with pytest.raises(SettingsError, match="WENSHENG_ES_KEI"):
        load(path, {"WENSHENG_ES_KEI": "x"})


@pytest.mark.es
def test_two_settings_open_the_service_on_a_server():
    wanted = store_settings()
    store = open_store(Settings(store=wanted))
    assert isinstance(store, ElasticStore)
    client, names = store._session.client, store._session.names
    client.indices.delete(index=[names.early, names.records_index])
    client.indices.delete_index_template(name=names.mentions_template)
    store.close()
