from nbmlops.store.registry.versions import MODEL_ID, find_version


def test_a_version_is_found_with_its_aliases_until_it_is_deleted(store):
    client = store.client
    assert find_version(store, "it's", 1) is None
    for name in ("it's", "other"):
        client.create_registered_model(name)
        for number in (1, 2):
            tags = {MODEL_ID: f"m-{number}"} if number == 1 else {}
            client.create_model_version(name, f"/{name}/{number}", tags=tags)
    client.set_registered_model_alias("it's", "champion", "1")
    client.set_registered_model_alias("it's", "old", "2")
    client.set_registered_model_alias("other", "champion", "2")
    first = find_version(store, "it's", 1)
    assert first.model_id == "m-1"
    assert first.aliases == ("champion",)
    assert find_version(store, "it's", 2).model_id is None
    assert find_version(store, "it's", 3) is None
    client.delete_model_version("it's", "1")
    assert find_version(store, "it's", 1) is None
    assert find_version(store, "it's", 2).aliases == ("old",)
    client.delete_registered_model("it's")
    assert find_version(store, "it's", 2) is None
