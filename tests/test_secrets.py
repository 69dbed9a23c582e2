"""``nm.secret``."""

import base64
import copy
import json
import pickle
import subprocess
import sys
from urllib.parse import quote

import joblib
import keyring
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, NoKeyringError

import nbmlops as nm
from nbmlops import secrets
from nbmlops._masking import MASK, mask
from tests.kernels import kernel

VALUE = "correct horse/battery" + "+staple"


@pytest.fixture
def token(monkeypatch):
    monkeypatch.setenv("A_TOKEN", VALUE)
    return nm.secret("A_TOKEN")


@pytest.fixture
def keep():
    """Return a keyring of this test's own, as a dict."""
    kept, before = {}, keyring.get_keyring()

    class Own(KeyringBackend):
        priority = 1
        error = None

        def get_password(self, service, username):
            if self.error:
                raise self.error
            return kept.get((service, username))

        def set_password(self, service, username, password):
            kept[service, username] = password

        def delete_password(self, service, username):
            del kept[service, username]

    keyring.set_keyring(Own())
    yield keyring
    keyring.set_keyring(before)


def test_it_is_a_text_for_libraries_and_shows_its_name(token):
    assert isinstance(token, str)
    assert (token, f"Bearer {token}", str(token)) == (VALUE, f"Bearer {VALUE}", VALUE)
    assert (token + "", "".join([token]), token.encode()) == (
        VALUE, VALUE, VALUE.encode()
    )  # fmt: skip
    assert json.loads(json.dumps({"token": token})) == {"token": VALUE}
    assert repr(token) == "<secret A_TOKEN>"
    assert repr({"token": [token]}) == "{'token': [<secret A_TOKEN>]}"
    assert (token.name, token.reference) == ("A_TOKEN", "secret:A_TOKEN")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_holds_the_name_alone(token, protocol, monkeypatch, tmp_path):
    pickled = pickle.dumps({"token": token, "of": [token]}, protocol)
    assert VALUE.encode() not in pickled
    joblib.dump({"token": token}, tmp_path / "dump")
    assert VALUE.encode() not in (tmp_path / "dump").read_bytes()
    monkeypatch.setenv("A_TOKEN", "another value")
    loaded = pickle.loads(pickled)["token"]  # noqa: S301 - made above
    assert (loaded, loaded.name) == ("another value", "A_TOKEN")
    monkeypatch.delenv("A_TOKEN")
    with pytest.raises(nm.NotFoundError, match="A_TOKEN"):
        pickle.loads(pickled)  # noqa: S301 - made above


def test_a_copy_is_the_secret_itself(token):
    assert copy.copy(token) is token
    assert copy.deepcopy([token])[0] is token


def test_it_is_masked_in_every_form(token):
    forms = [
        VALUE, json.dumps(VALUE)[1:-1], quote(VALUE), quote(VALUE, safe=""),
        base64.b64encode(VALUE.encode()).decode().rstrip("="),
    ]  # fmt: skip
    for form in forms:
        assert mask(f"x{form}y") == f"x{MASK}y"


@given(st.text(min_size=4, max_size=40).filter(str.strip))
def test_any_value_is_masked_once_it_was_read(value):
    before = dict(secrets._forms)
    try:
        secrets.Secret(value, "DRAWN")
        for text in (value, repr({"of": value}), json.dumps([value])):
            assert value not in mask(text)
    finally:  # what hypothesis draws may be any word
        secrets._forms.clear()
        secrets._forms.update(before)


def test_the_environment_comes_first_then_the_keyring(keep, monkeypatch):
    keep.set_password("nbmlops", "B_TOKEN", "kept in the ring")
    assert nm.secret("B_TOKEN") == "kept in the ring"
    monkeypatch.setenv("B_TOKEN", "")
    assert nm.secret("B_TOKEN") == "kept in the ring"
    monkeypatch.setenv("B_TOKEN", "set by the shell")
    assert nm.secret("B_TOKEN") == "set by the shell"


def test_what_is_nowhere_says_how_to_set_it(keep):
    with pytest.raises(nm.NotFoundError, match="NO_TOKEN") as raised:
        nm.secret("NO_TOKEN")
    assert "keyring set nbmlops NO_TOKEN" in raised.value.fix
    assert "export NO_TOKEN=" in raised.value.fix
    for error in (NoKeyringError(), KeyringLocked("locked")):
        keep.get_keyring().error = error
        with pytest.raises(nm.NotFoundError, match=type(error).__name__):
            nm.secret("NO_TOKEN")


def test_without_a_keyring_the_extra_is_named():
    code = (
        "import os, sys; sys.modules['keyring'] = None; import nbmlops as nm\n"
        "os.environ['C_TOKEN'] = 'abcd'; assert nm.secret('C_TOKEN') == 'abcd'\n"
        "try: nm.secret('NO_TOKEN')\n"
        "except nm.DependencyError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "nbmlops[secrets]" in done.stdout


@pytest.mark.parametrize("name", ["", "1A", "a b", "../x", "é", "x" * 129, None, "a=b"])
def test_what_cannot_be_a_name_is_refused(name):
    with pytest.raises(nm.UsageError):
        nm.secret(name)


def test_only_a_whole_reference_is_one(token):
    assert secrets.find_reference("secret:A_TOKEN").name == "A_TOKEN"
    for text in (
        "secret: A_TOKEN",
        "a secret:A_TOKEN",
        "secret:",
        "A_TOKEN",
        "secret:1",
    ):
        assert secrets.find_reference(text) is None


@pytest.mark.kernel
def test_a_notebook_shows_its_name(project, monkeypatch):
    monkeypatch.setenv("A_TOKEN", VALUE)
    with kernel(project) as k:
        reply = k.run("import nbmlops as nm\ntoken = nm.secret('A_TOKEN')\ntoken")
        assert reply.text.strip() == "<secret A_TOKEN>"
        reply = k.run("display(token, [token]); {'token': token}")
        assert VALUE not in reply.text
        assert reply.text.count("<secret A_TOKEN>") == 3
