from importlib.metadata import distributions

from nbmlops.tracking.provenance.source import installed


def test_installed_packages_are_those_of_their_metadata():
    read = [each.metadata for each in distributions()]
    named = {each["Name"]: each["Version"] for each in read}
    assert installed() == tuple(sorted(f"{n}=={v}" for n, v in named.items() if n))


def test_older_forms_and_descriptions_are_read_alike(tmp_path, monkeypatch):
    (tmp_path / "old.egg-info").mkdir()
    (tmp_path / "old.egg-info" / "PKG-INFO").write_bytes(
        b"Metadata-Version: 1.0\r\nName: old\r\nVersion: 1.2\r\n\r\nName: other\r\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    installed.cache_clear()
    found = installed()
    installed.cache_clear()
    assert "old==1.2" in found
    assert not any(each.startswith("other==") for each in found)
