"""``mask``: what goes and what stays."""

import base64
import random
import re
import sysconfig
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nbmlops import secrets
from nbmlops._masking import (
    MASK,
    mask,
    mask_notebook,
    mask_tree,
    mask_value,
    spans,
)
from nbmlops.secrets import Secret
from tests.marked import marked

ALL = marked()
AROUND = {
    "alone": "{}",
    "in a line": "before {} after",
    "between lines": "x = 1\n{}\ny = 2\n",
    "in a list": "['a', {}, 'b']",
    "coloured": "\x1b[31m{}\x1b[0m",
    "escaped": "a\\n{}\\nb",
}


def test_there_are_more_than_40_kinds():
    assert len({m.kind for m in ALL}) == len(ALL) > 40


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize("seed", range(5))
def test_every_kind_is_masked_wherever_it_stands(around, seed):
    for m in marked(seed):
        text = around.format(m.said)
        masked = mask(text)
        assert MASK in masked, (m, text)
        assert not [n for n in m.needles if n in masked], (m, masked)
        assert len(masked) >= len(text) - len(m.value) - 10, (m, masked)


KEPT = [
    "password = None",
    'password=""',
    "password: str",
    "def login(user, password=None, *, token: str | None = None):",
    "token = tokenizer(text, return_tensors='pt')",
    "token=token, password=password, secret=self.secret",
    "max_tokens=512, pad_token='<pad>', eos_token=\"</s>\"",
    'key="value"; keys = {"key": "abcdef0123456789"}',
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
    "run_id = '5d41402abc4b2a76b9719d911017c592'",
    "id: 123e4567-e89b-12d3-a456-426614174000",
    "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    'api_key = os.environ["OPENAI_API_KEY"]',
    "api_key = os.getenv('OPENAI_API_KEY', default='your-api-key')",
    "export TOKEN=$(cat token.txt)",
    "PASSWORD=${DB_PASSWORD} TOKEN=$TOKEN",
    'password = nm.secret("DB_PASSWORD")',
    "token: secret:API_TOKEN",
    'headers = {"Authorization": f"Bearer {token}"}',
    "postgresql://ada:***@host/db and https://user:{password}@host",
    "http://localhost:8888/lab?path=a@b",
    "Basic usage of the bearer of the ring",
    "the password is asked for when the token has expired",
    "for token in doc: print(token.text, token.pos_)",
    "git@github.com:ada/engine.git",
    "docker run -u 1000:1000 image",
    "BertTokenizer.from_pretrained('bert-base-uncased')",
    "/home/ada/keys/private_key.pem",
    "key-word-only = sklearn.preprocessing",
    "type='password' name='user'",
    'storage_key="data/2024/part01.parquet"',
    'storage_key = "artifacts/5d41402abc4b2a76b9719d911017c592/model.pkl"',
    "s3_access_key: part01.tar.gz",
    'key = dict(storage_key="runs/day=2024-01-02/v3")',
    "adduser --system --disabled-password --uid 1000",
    "name, user and password from the URI if provided.",
    "mongodb://user:password@host:port/db and http://user:pass@host",
    "message://%3c330e7f8409726r6a4ba78dkf1fd71420c1bf6ff@mail.example.com%3e",
    'click.prompt("Snowflake Password:", hide_input=True)',
    "concat(a, ':6380,password=', listKeys(concat('Cache/', b)))",
    '"credentials": "s3_credentials"',
]


@pytest.mark.parametrize("line", KEPT)
def test_what_is_no_secret_stays(line):
    assert mask(line) == line


def test_the_text_around_stays():
    m = next(m for m in ALL if m.kind == "in a dsn")
    assert mask(m.said) == f"postgresql://ada:{MASK}@db.example.org/x"
    assert mask('login(password="%s", port=1)' % ("hunter" + "2")) == (
        f'login(password="{MASK}", port=1)'
    )
    pem = next(m for m in ALL if m.kind == "pem")
    assert mask(f"a\n{pem.value}\nb") == f"a\n{MASK}\nb"


def test_a_key_in_a_listing_is_masked_also_when_its_end_is_cut_off():
    lines = next(m for m in ALL if m.kind == "pem").value.splitlines()
    listing = "\n".join(f"{'---->' if n == 3 else '':6}{n:3} {line}"
                        for n, line in enumerate(lines, 1))  # fmt: skip
    for shown in (listing, "\n".join(listing.splitlines()[:4])):
        assert not [line for line in lines[1:-1] if line in mask(shown)]


def test_normal_lines_are_left_alone():
    """At most 1 % of 10,000 lines of other people's programs and notebooks change."""
    root = Path(sysconfig.get_path("purelib"))
    rng = random.Random(20)  # noqa: S311
    files = sorted(
        path
        for kind in ("py", "ipynb", "md", "rst", "json", "yaml", "toml", "cfg", "txt")
        for path in root.rglob(f"*.{kind}")
        if "nbmlops" not in path.relative_to(root).parts
        and path.stat().st_size < 1_000_000
    )
    lines = []
    for path in rng.sample(files, min(len(files), 1500)):
        found = path.read_text("utf-8", "replace").splitlines()
        found = [line for line in found if line.strip()]
        lines += rng.sample(found, min(len(found), 40))
    lines = rng.sample(lines, 10_000)
    changed = [(line, masked) for line in lines if (masked := mask(line)) != line]
    assert len(changed) <= 100, changed[:20]


MESSY = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(
            ["password", "token", "api_key", "=", ": ", '"', "'", "\\", "\n", " ", ",",
             "://", "@", "a1b2c3d4e5f6", "-----BEGIN PRIVATE KEY-----", "(", "{",
             "[", "Bearer ", "set ", MASK, "\x1b[0m", "é", "secret:NAME", "\ud800", ";",
             "--"]
        )
    ).map("".join),
)  # fmt: skip


@given(MESSY)
@settings(max_examples=600, deadline=None)
@example("password=" + "a1b2c3d4" * 200)
@example("Password://012A3B:A@")
def test_masking_twice_is_masking_once(text):
    masked = mask(text)
    assert mask(masked) == masked
    if MASK not in masked:
        assert masked == text


@given(st.sampled_from(ALL), st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_no_neighbour_keeps_a_line_of_its_own_from_being_masked(m, before, after):
    masked = mask(f"{before}\n{m.said}\n{after}")
    assert not [n for n in m.needles if n in masked and n not in before + after]


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
        lambda items: st.lists(items) | st.dictionaries(st.text(), items),
    )
)
def test_a_tree_keeps_its_form(tree):
    masked = mask_tree(tree)
    assert repr(mask_tree(masked)) == repr(masked)
    assert type(masked) is type(tree)


def test_a_tree_is_masked_by_the_names_in_it():
    image = "AK" + "IA" + "ABCDEFGHIJKLMNOP"
    tree = {"password": "hunter" + "2", "image/png": image, "text/plain": image,
            "n": 3, "of": (Secret("never shown", "A_NAME"), ["x"])}  # fmt: skip
    assert mask_tree(tree) == {"password": MASK, "image/png": image, "text/plain": MASK,
                               "n": 3, "of": ("secret:A_NAME", ["x"])}  # fmt: skip


def test_a_value_is_recorded_by_reference_or_masked():
    assert mask_value(Secret("never shown", "A_NAME"), "password") == "secret:A_NAME"
    assert mask_value("secret:A_NAME", "password") == "secret:A_NAME"
    assert mask_value("never shown") == MASK
    assert (mask_value(1.5, "C"), mask_value(None, "token")) == ("1.5", "None")
    assert mask_value("hunter" + "2", "password") == MASK
    assert mask_value({"api_key": "0123456789abcdef" * 2}) == f"{{'api_key': '{MASK}'}}"


def test_a_secret_of_a_source_is_masked_in_what_the_notebook_shows():
    word = "zebra" + "7crossing"
    cells = [nbformat.v4.new_code_cell(f'password = "{word}"\nprint(password)')]
    cells[0].outputs = [
        nbformat.v4.new_output("stream", name="stdout", text=word[:4]),
        nbformat.v4.new_output("stream", name="stdout", text=word[4:] + "\n"),
        nbformat.v4.new_output("display_data", {"text/html": f"<b>{word}</b>"}),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    before = nbformat.writes(notebook)
    masked = nbformat.from_dict(mask_notebook(notebook))
    nbformat.validate(masked)
    assert nbformat.writes(notebook) == before
    assert word not in nbformat.writes(masked)
    assert [o.get("text") for o in masked.cells[0].outputs] == [f"{MASK}\n", None]


LONG = 200_000
HARD = {
    "names": "password=", "quotes": 'password="', "mixed": 'token="token=\'token=`',
    "short": "password=password=secret= ", "addresses": "://", "logins": "://a:b",
    "one address": "://a:bbbbbbbb", "ats": "://@", "letters": "a",
    "jwt": "eyJaaaaaaaa.",
    "begins": "-----BEGIN PRIVATE KEY-----", "lines": "AAAAAAAA \n",
    "ends": "A" * 60 + "\n-----END PRIVATE KEY-----\n", "bearer": "bearer ",
    "basic": "basic AAAAAA", "curl": "curl -u ", "auth": "auth=(", "set": "set ",
    "yaml": "secret: ", "calls": "token = (", "keys": "api_key,", "tags": "<password>",
    "escapes": "password='\\'\\'", "back": "\\", "triple": 'password="""',
    "pairs": "a=b ",
    "netrc": "login a password ", "colours": "\x1b[0m", "blanks": "token     ",
}  # fmt: skip


@pytest.mark.parametrize("hard", HARD.values(), ids=HARD)
def test_no_line_takes_more_than_linear_time(hard):
    def cost(n):
        text = (hard * (n // len(hard) + 1))[:n]
        spans._spans_of_long.cache_clear()
        began = time.process_time()
        mask(text)
        return time.process_time() - began

    whole = cost(LONG)
    # 4 when linear, 16 when not; what disturbs one measure does not disturb all.
    assert whole < 0.05 or min(cost(LONG) / cost(LONG // 4) for _ in range(3)) < 10


def test_a_text_that_comes_again_is_searched_once(monkeypatch):
    searched = []
    search = spans.find_spans

    def counted(text):
        searched.append(text)
        return search(text)

    monkeypatch.setattr(spans, "find_spans", counted)
    said = "password = 'l0velace'" + " and on" * 100
    for _ in range(3):
        assert "l0velace" not in mask(said)
    assert searched.count(said) == 1


@given(
    st.text(st.characters(codec="utf-8"), min_size=4, max_size=40).filter(
        lambda text: (
            text.strip() == text
            and len(text.encode()) >= 4
            and text not in "Authorization: X [masked] and on"
        )
    ),
    st.sampled_from(["", "a", "ab", "ada:", "user@host:"]),
    st.sampled_from(["", "!", "zz", "\n"]),
    st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]),
)
@settings(max_examples=300, deadline=None)
@example("pw1!", "ada:", "", base64.b64encode)
def test_a_secret_in_base64_is_masked_whatever_stands_around_it(
    value, before, after, encode
):
    secrets.remember(value)
    code = encode((before + value + after).encode()).decode()
    try:
        masked = mask(f"Authorization: X {code} and on")
    finally:
        secrets._forms.clear()
        secrets._codes.clear()
    assert code.rstrip("=") not in masked
    assert masked.startswith("Authorization: X [masked]")
    assert masked.endswith(" and on")


def test_base64_of_a_length_that_none_has_is_masked_too():
    secrets.remember("open sesame")
    code = base64.b64encode(b"xx open sesame!").decode()
    try:
        assert mask(f"see {code}A now") == "see [masked] now"
    finally:
        secrets._forms.clear()
        secrets._codes.clear()


@pytest.mark.parametrize("value", ['it\'s "5o" <s>', "a&b<1>\"'", "p'w\"d4"])
def test_a_secret_with_quotes_is_masked_in_a_table_of_pandas(value):
    frame = pd.DataFrame({"who": ["ada"], "what": [Secret(value, "A_NAME")]})
    shown = [frame.to_html(), repr(frame), frame.to_csv(), frame.to_json(),
             frame._repr_html_(), repr(frame.to_dict()), repr([[value]])]  # fmt: skip
    for text in shown:
        masked = mask(text)
        assert MASK in masked, text
        for part in re.findall(r"\w{2,}", value):
            assert part not in masked.replace(MASK, ""), text
    secrets._forms.clear()
    secrets._codes.clear()
