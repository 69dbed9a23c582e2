"""Marked secrets: of every kind, drawn anew, put together where they are used.

No file of this repository holds one, so no scanner finds any here.
"""

from __future__ import annotations

import base64
import random
import string
from dataclasses import dataclass

ALNUM = string.ascii_letters + string.digits
UPPER = string.ascii_uppercase + string.digits
HEX = "0123456789abcdef"
URL = ALNUM + "-_"


@dataclass(frozen=True)
class Marked:
    """A secret, the name it would be given, and a text that it stands in.

    ``needles`` are what must be found nowhere.
    """

    kind: str
    value: str
    name: str
    said: str

    @property
    def needles(self):
        if "\n" in self.value:
            return [line for line in self.value.splitlines() if "-----" not in line]
        return [self.value]


def marked(seed=0):
    """Return more than 40 secrets."""
    rng = random.Random(f"marked {seed}")  # noqa: S311 - no real ones

    def draw(n, letters=ALNUM):
        while True:
            drawn = "".join(rng.choices(letters, k=n))
            has_both = any(c.isdigit() for c in drawn) and any(
                c.isalpha() for c in drawn
            )
            if (has_both and drawn[-1] not in "-_.") or n < 4:
                return drawn

    def pem(kind):
        code = base64.b64encode(rng.randbytes(400)).decode()
        lines = [code[i : i + 64] for i in range(0, len(code), 64)]
        dashes = "-" * 5
        begin, end = (f"{dashes}{w} {kind}{dashes}" for w in ("BEGIN", "END"))
        return "\n".join([begin, *lines, end])

    def part(content):
        return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")

    jwt = ".".join(
        [part('{"alg":"HS256"}'), part(f'{{"sub":"{draw(12)}"}}'), draw(43, URL)]
    )
    by_form = {
        "aws id": "AK" + "IA" + draw(16, UPPER),
        "aws session id": "AS" + "IA" + draw(16, UPPER),
        "github classic": "gh" + "p_" + draw(36),
        "github server": "gh" + "s_" + draw(36),
        "github fine": "github" + "_pat_" + draw(22) + "_" + draw(59),
        "gitlab": "gl" + "pat-" + draw(20, URL),
        "gitlab runner": "gl" + "rt-" + draw(20, URL),
        "slack bot": "xo" + "xb-" + draw(12, "0123456789a") + "-" + draw(24),
        "slack app": "xa" + "pp-1-" + draw(10, UPPER) + "-" + draw(60, HEX),
        "huggingface": "h" + "f_" + draw(34),
        "openai": "s" + "k-proj-" + draw(80, URL),
        "openai old": "s" + "k-" + draw(20) + "T3" + "BlbkFJ" + draw(20),
        "anthropic": "s" + "k-ant-api03-" + draw(93, URL) + "AA",
        "google": "AI" + "za" + draw(35, URL),
        "google oauth": "GOC" + "SPX-" + draw(28, URL),
        "azure app": draw(3) + "8Q" + "~" + draw(34),
        "stripe": "sk" + "_live_" + draw(24),
        "stripe hook": "wh" + "sec_" + draw(32),
        "pypi": "py" + "pi-AgEIcHlwaS5vcmc" + draw(120, URL),
        "npm": "np" + "m_" + draw(36),
        "databricks": "da" + "pi" + draw(32, HEX),
        "sendgrid": "S" + "G." + draw(22, URL) + "." + draw(43, URL),
        "telegram": draw(10, string.digits + "a").replace("a", "1")
        + ":A"
        + "A"
        + draw(33, URL),
        "vault": "hv" + "s." + draw(90, URL),
        "grafana": "gl" + "sa_" + draw(32) + "_" + draw(8, HEX),
        "docker": "dck" + "r_pat_" + draw(27, URL),
        "wandb": "wand" + "b_v1_" + draw(77),
        "jwt": jwt,
        "pem": pem("PRIV" + "ATE KEY"),
        "rsa pem": pem("RSA PRIV" + "ATE KEY"),
    }
    found = [
        Marked(kind, value, "note", f"now with {value} as asked")
        for kind, value in by_form.items()
    ]
    login = base64.b64encode(f"ada:{draw(18)}".encode()).decode()
    storage = base64.b64encode(rng.randbytes(64)).decode()
    word = draw(9, string.ascii_lowercase + "019")
    by_place = [
        ("aws secret", draw(40, ALNUM + "/+"), "aws_secret_access_key", "{n} = {v}"),
        ("password in code", draw(12), "password", '{n} = "{v}"'),
        ("a word", "zebra" + "crossing", "db_password", "{n}='{v}'"),
        ("with signs", draw(6) + "!" + draw(6) + "$x", "smtp_passwd", '"{n}": "{v}"'),
        ("api key", draw(32, HEX), "api_key", "{n}: {v}"),
        ("in json", draw(24), "clientSecret", '{{"id": 3, "{n}": "{v}", "b": 1}}'),
        ("in env", draw(20), "WANDB_API_KEY", "{n}={v}"),
        ("exported", word, "PGPASSWORD", "export {n}={v}"),
        ("in csh", draw(20), "API_TOKEN", "setenv {n} {v}"),
        ("magic", draw(20), "SERVICE_TOKEN", "%env {n} {v}"),
        ("an option", draw(20), "token", "serve --{n} {v} --fast"),
        ("bearer", draw(40, URL), "authorization", "Authorization: Bearer {v}"),
        ("basic", login, "authorization", "Authorization: Basic {v}"),
        ("in a url", draw(16), "password", "https://ada:{v}@example.org/x.git"),
        ("as a user", draw(30), "token", "https://{v}@example.org/x.git"),
        ("in a dsn", draw(16), "password", "postgresql://ada:{v}@db.example.org/x"),
        ("with a slash", draw(6) + "/" + draw(6), "password", "mysql://u:{v}@db/x"),
        ("libpq", word + "x", "password", "host=db user=ada {n}={v} dbname=x"),
        ("odbc", draw(14), "Pwd", "Server=db;Uid=ada;{n}={v};Encrypt=yes"),
        ("azure storage", storage, "AccountKey", "AccountName=x;{n}={v};Suffix=y"),
        ("in a query", draw(40, HEX), "access_token", "https://h/x?a=1&{n}={v}&b=2"),
        ("in xml", draw(14), "password", "<user>a</user><{n}>{v}</{n}>"),
        ("default", draw(20), "API_KEY", 'os.environ.get("{n}", "{v}")'),
    ]
    return found + [
        Marked(kind, value, name, said.format(n=name, v=value))
        for kind, value, name, said in by_place
    ]
