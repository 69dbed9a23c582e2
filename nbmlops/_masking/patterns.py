r"""Secrets that are known by their form: keys, tokens, headers, addresses.

Each rule begins with a text that is looked for first, which is fast; only where it is
found a regular expression is tried, and only there. Every repetition is bounded or
possessive, so no text takes more than linear time.
"""

from __future__ import annotations

import base64
import binascii
import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from itertools import accumulate

from nbmlops._masking.names import Strength, is_random, is_secret, stands_for

Span = tuple[int, int]

# What the token begins with, what follows (a group in it alone is masked), and where
# its issuer describes it.
_TOKENS: tuple[tuple[str, str], ...] = (
    # docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html; with the
    # secret key where that comes next
    (
        "AKIA ASIA ABIA ACCA",
        r"[A-Z0-9]{16}(?![A-Za-z0-9])"
        r"(?:[\s\"',;:|]{1,8}[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=]))?",
    ),
    # github.blog/changelog/2021-03-31-authentication-token-format-updates
    ("ghp_ gho_ ghu_ ghs_ ghr_", r"[A-Za-z0-9_]{36,255}"),
    ("github_pat_", r"[A-Za-z0-9_]{22,255}"),
    # docs.gitlab.com/security/tokens/#token-prefixes
    (
        "glpat- gloas- gldt- glrt- glrtr- glcbt- glptt- glft- glimt- glagent- glsoat- "
        "glffct- GR1348941",
        r"[A-Za-z0-9_-]{16,300}(?:\.[A-Za-z0-9._-]{1,99})?",
    ),
    # docs.slack.dev/authentication/tokens, docs.slack.dev/messaging/sending-messages-
    # using-incoming-webhooks
    (
        "xoxb- xoxp- xoxa- xoxe- xoxe. xoxo- xoxr- xoxs- xoxc- xoxd- xapp- xwfp-",
        r"[A-Za-z0-9%._-]{15,400}",
    ),
    ("hooks.slack.com/services/", r"([A-Za-z0-9+/_-]{20,99})"),
    # huggingface.co/docs/hub/security-tokens
    ("hf_ api_org_", r"[A-Za-z0-9]{30,99}"),
    # platform.openai.com/docs/api-reference/authentication; docs.claude.com/en/api;
    # openrouter.ai/docs/api-keys; langfuse.com/docs
    (
        "sk-proj- sk-svcacct- sk-admin- sk-None- sk-ant- sk-or-v1- sk-lf-",
        r"[A-Za-z0-9_-]{20,400}",
    ),
    ("sk-", r"[A-Za-z0-9]{32,99}"),
    # cloud.google.com/docs/authentication/api-keys, .../token-types
    ("AIza", r"[A-Za-z0-9_-]{35}"),
    ("ya29. GOCSPX- 1//0", r"[A-Za-z0-9_-]{20,999}"),
    # learn.microsoft.com/purview/sit-defn-client-secret-api-key
    ("Q~", r"[A-Za-z0-9_~.-]{31,34}"),
    # docs.stripe.com/keys, docs.stripe.com/webhooks
    (
        "sk_live_ sk_test_ rk_live_ rk_test_ whsec_",
        r"[A-Za-z0-9+/=]{14,250}",
    ),
    # pypi.org/help/#apitoken; docs.npmjs.com/about-access-tokens
    ("pypi-AgE", r"[A-Za-z0-9_-]{50,999}"),
    ("npm_", r"[A-Za-z0-9]{36}"),
    # rfc-editor.org/rfc/rfc7519
    ("eyJ", r"[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_.-]{0,8192}+"),
    # docs.databricks.com/dev-tools/auth/pat; developers.cloudflare.com;
    # docs.digitalocean.com/reference/api; docs.docker.com/security/access-tokens
    ("dapi", r"[a-f0-9]{32}(?:-\d)?"),
    ("dop_v1_ doo_v1_ dor_v1_", r"[a-f0-9]{64}"),
    ("dckr_pat_ dckr_oat_", r"[A-Za-z0-9_-]{20,99}"),
    # sendgrid.com/docs/api-reference; core.telegram.org/bots/api#authorizing-your-bot
    ("SG.", r"[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}"),
    ("AA", r"(?<=:AA)[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"),
    # developer.hashicorp.com/vault/docs/concepts/tokens; grafana.com/docs; linear.app;
    # developers.notion.com; console.groq.com; replicate.com; shopify.dev; pulumi.com;
    # support.atlassian.com; docs.wandb.ai; docs.doppler.com
    ("hvs. hvb. hvr.", r"[A-Za-z0-9_-]{24,300}"),
    ("glsa_ glc_", r"[A-Za-z0-9_+/=-]{32,400}"),
    (
        "lin_api_ ntn_ gsk_ r8_ wandb_v1_ KGAT_",
        r"[A-Za-z0-9_]{30,120}",
    ),
    ("shpat_ shpca_ shppa_ shpss_ pul-", r"[a-f0-9]{32,40}"),
    ("ATATT3 ATCTT3 ATBB", r"[A-Za-z0-9_=-]{28,300}"),
    ("dp.pt. dp.st. dp.ct.", r"[A-Za-z0-9.]{40,80}"),
)
_BEFORE_START = {"Q~": 4}
# github.com/Kaggle/kaggle-api: kaggle.json
_KAGGLE = re.compile(
    r'"username"\s{0,9}:\s{0,9}"[^"\n]{1,64}"\s{0,9},\s{0,9}"key"\s{0,9}:\s{0,9}'
    r'"([0-9a-f]{32})"'
)
_INSIDE = re.compile(r"[A-Za-z0-9_]")
# Each of these stands in a run of so many letters that tokens are made of, or more.
_SHORTEST_RUN = 20
_RUN_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+/=.~%"
_KINDS = bytes(letter in _RUN_LETTERS for letter in range(256))


def token_spans(text: str) -> Iterator[Span]:
    """Yield where tokens of known form stand in a text.

    Parameters
    ----------
    text : str
        ASCII.

    Yields
    ------
    tuple of int
        Start and end; they may overlap.
    """
    runs = list(_long_runs(text))
    joined = "\n".join(text[start:end] for start, end in runs)
    begins = list(accumulate((end - start + 1 for start, end in runs), initial=0))
    for starts, body in _TOKENS:
        for start in starts.split():
            covered = -1
            for place in _find(joined, start):
                if place < covered:
                    continue
                run = bisect_right(begins, place) - 1
                at = runs[run][0] + place - begins[run]
                begin = at - _BEFORE_START.get(start, 0)
                if begin < 0 or not _is_edge(text, begin, start):
                    continue
                found = _compiled(body).match(text, at + len(start))
                if found is not None:
                    covered = place + found.end() - at
                    yield found.span(1) if found.lastindex else (begin, found.end())
    for at in _find(text, '"username"'):
        found = _KAGGLE.match(text, at)
        if found is not None:
            yield found.span(1)


def _long_runs(text: str) -> Iterator[Span]:
    kinds = text.encode("ascii", "replace").translate(_KINDS)
    long_run = b"\1" * _SHORTEST_RUN
    start = kinds.find(long_run)
    while start >= 0:
        end = kinds.find(b"\0", start)
        end = len(kinds) if end < 0 else end
        yield start, end
        start = kinds.find(long_run, end)


def _find(text: str, what: str) -> Iterator[int]:
    at = text.find(what)
    while at >= 0:
        yield at
        at = text.find(what, at + len(what))


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _is_edge(text: str, at: int, start: str) -> bool:
    """Return whether a token can begin here: not in the middle of a word."""
    if at == 0 or not _INSIDE.match(text, at - 1) or not start[0].isalnum():
        return True
    return text[at - 2 : at] in (r"\n", r"\r", r"\t")  # a text inside of a text


# Base64 in the lines of a key, whatever the lines stand in: quotes, a list, a listing
# with numbers.
_PEM_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_BETWEEN = r"(?:\\[nrt]|&quot;|[\s\"',()|>:;\\]|\+(?=\s)|-{2,}>|\d{1,4}(?=[ \t]))*+"
_PEM_BODY = re.compile(
    rf"(?:{_BETWEEN}(?:Proc-Type|DEK-Info|Version|Comment|Hash): [^\n\\]{{0,200}})*+"
    rf"(?:{_BETWEEN}[A-Za-z0-9+/]{{8,}}+={{0,2}}+)++"
    rf"(?:{_BETWEEN}=?[A-Za-z0-9+/]{{1,7}}+={{0,2}}+(?={_BETWEEN}-----END))?+"
)
_PEM_CLOSE = re.compile(rf"{_BETWEEN}{_PEM_END.pattern}")
_PEM_LINE = re.compile(rf"{_BETWEEN}[A-Za-z0-9+/]{{2,}}+={{0,2}}+{_BETWEEN}")
_LOOK_BACK = 8000


def pem_spans(text: str) -> Iterator[Span]:
    """Yield where private keys stand, also those that a listing cut off.

    See rfc-editor.org/rfc/rfc7468.

    Parameters
    ----------
    text : str
        Any text.

    Yields
    ------
    tuple of int
        Start and end.
    """
    covered = -1
    for at in _find(text, "-----BEGIN "):
        begin = _PEM_BEGIN.match(text, at)
        body = begin and _PEM_BODY.match(text, begin.end())
        if body:
            close = _PEM_CLOSE.match(text, body.end())
            covered = (close or body).end()
            yield at, covered
    for at in _find(text, "-----END "):
        end = _PEM_END.match(text, at)
        if end and at > covered:
            first = at
            line_start = text.rfind("\n", 0, at) + 1
            if _compiled(_BETWEEN).fullmatch(text, line_start, at):
                first = line_start
            lines = text[max(0, first - _LOOK_BACK) : first].splitlines(keepends=True)
            for line in reversed(lines):
                if line.strip() and not _PEM_LINE.fullmatch(line):
                    break
                first -= len(line)
            body = _PEM_BODY.match(text, first)
            if body and body.end() <= at:
                yield first, end.end()


_USER = r"[^\s/?#:@\"'<>`\\]{0,256}+"
_ADDRESS = re.compile(rf"({_USER})(?::([^\s/\"'<>`\\]{{1,512}}))?@")
_LOOSE_ADDRESS = re.compile(rf"({_USER}):([^\s\"'<>`\\]{{1,512}})@(?=[\w.\[-])")
_LONGEST_ADDRESS = 800
_PORT = re.compile(r"\d{1,5}(?=[/?#]|$)")


def address_spans(text: str) -> Iterator[Span]:
    """Yield where the addresses in a text hold a password or a token.

    See rfc-editor.org/rfc/rfc3986#section-3.2.1. A ``/`` or ``@`` in a password that
    was not quoted belongs to it.

    Parameters
    ----------
    text : str
        Any text.

    Yields
    ------
    tuple of int
        Start and end.
    """
    for at in _find(text, "://"):
        if text.find("@", at, at + _LONGEST_ADDRESS) < 0:
            continue
        found = _ADDRESS.match(text, at + 3) or _LOOSE_ADDRESS.match(text, at + 3)
        if found is None:
            continue
        user, password = found[1], found[2]
        if password is None:
            if len(user) >= 16 and is_random(user):
                yield found.span(1)
            continue
        if _PORT.match(password) or (stands_for(password) and not password.isalnum()):
            continue
        if len(user) >= 20 and is_random(user):
            yield found.span(1)
        yield found.span(2)


_BEARER = re.compile(r"[ \t]{1,4}([A-Za-z0-9._~+/=-]{16,8192}+)")
_BASIC = re.compile(r"[ \t]{1,4}([A-Za-z0-9+/]{6,8192}+={0,2})")
_LOGIN = re.compile(r"[ =]?[\"']?[^\s:\"'$]{1,64}:([^\s\"'$]{3,256})")
_PAIR = re.compile(
    r"""\s{0,4}=?\s{0,4}\(\s{0,20}(?:["'][^"'\n]{0,99}["']|[\w.]{1,60}+)\s{0,20},"""
    r"""\s{0,20}(["'])([^"'\n]{3,256})\1"""
)
_CALLERS = ("curl", "wget", "http")


def header_spans(text: str, lowered: str) -> Iterator[Span]:
    """Yield where a text tells who asks: bearer and basic headers, curl, requests.

    See rfc-editor.org/rfc/rfc6750 and rfc7617.

    Parameters
    ----------
    text : str
        Any text.
    lowered : str
        The same in lower case, of the same length.

    Yields
    ------
    tuple of int
        Start and end.
    """
    for at in _find(lowered, "bearer"):
        found = _BEARER.match(text, at + 6)
        if found and (is_random(found[1]) or is_secret(found[1], Strength.TOKEN)):
            yield found.span(1)
    for at in _find(lowered, "basic"):
        found = _BASIC.match(text, at + 5)
        if found and _is_login(found[1]):
            yield found.span(1)
    for flag in (" -u", "--user"):
        for at in _find(text, flag):
            found = _LOGIN.match(text, at + len(flag))
            line = text[max(0, at - 300) : at].rpartition("\n")[2]
            is_asking = any(caller in line for caller in _CALLERS)
            if found and is_asking and not found[1].isdigit():
                yield found.span(1)
    for at in _find(lowered, "auth"):
        found = _PAIR.match(text, at + 4)
        if found and is_secret(found[2], Strength.PASSWORD):
            yield found.span(2)


def _is_login(code: str) -> bool:
    try:
        plain = base64.b64decode(code + "=" * (-len(code) % 4), validate=True)
        name, colon, password = plain.decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return False
    return bool(colon and name + password) and (name + password).isprintable()
