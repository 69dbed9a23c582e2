"""Secrets known by their form: tokens, private keys, addresses, headers.

Every repetition is bounded or possessive, so no text takes more than linear time.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from nbmlops._masking.names import Strength, is_placeholder, is_random, is_secret

Span = tuple[int, int]

# What issuers say of their tokens is named behind each.
_TOKEN = re.compile(
    r"""
    (?:(?<![A-Za-z0-9_])|(?<=\\[nrt]))  # not in the middle of a word
    (?:
    # docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html; with the
    # secret key where that comes next
    A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}(?![A-Za-z0-9])
      (?:[\s"',;:|]{1,8}[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=]))?
    # github.blog/changelog/2021-03-31-authentication-token-format-updates
    |gh[pousr]_[A-Za-z0-9_]{36,255} |github_pat_[A-Za-z0-9_]{22,255}
    # docs.gitlab.com/security/tokens/#token-prefixes
    |(?:gl(?:pat|oas|dt|rtr?|cbt|ptt|ft|imt|agent|soat|ffct)-|GR1348941)
      [A-Za-z0-9_-]{16,300}(?:\.[A-Za-z0-9._-]{1,99})?
    # docs.slack.dev/authentication/tokens, and .../sending-messages-using-incoming-
    # webhooks
    |(?:xox[a-eoprs][-.]|xapp-|xwfp-)[A-Za-z0-9%._-]{15,400}
    |(?<=hooks\.slack\.com/services/)[A-Za-z0-9+/_-]{20,99}
    # huggingface.co/docs/hub/security-tokens
    |(?:hf|api_org)_[A-Za-z0-9]{30,99}
    # platform.openai.com/docs/api-reference/authentication; docs.claude.com/en/api;
    # openrouter.ai/docs/api-keys; langfuse.com/docs
    |sk-(?:proj|svcacct|admin|None|ant|or-v1|lf)-[A-Za-z0-9_-]{20,400}
    |sk-[A-Za-z0-9]{32,99}
    # cloud.google.com/docs/authentication/api-keys, .../token-types
    |AIza[A-Za-z0-9_-]{35} |(?:ya29\.|GOCSPX-|1//0)[A-Za-z0-9_-]{20,999}
    # learn.microsoft.com/purview/sit-defn-client-secret-api-key
    |[A-Za-z0-9_~.-]{4}Q~[A-Za-z0-9_~.-]{31,34}
    # docs.stripe.com/keys, docs.stripe.com/webhooks
    |(?:[sr]k_(?:live|test)_|whsec_)[A-Za-z0-9+/=]{14,250}
    # pypi.org/help/#apitoken; docs.npmjs.com/about-access-tokens
    |pypi-AgE[A-Za-z0-9_-]{50,999} |npm_[A-Za-z0-9]{36}
    # rfc-editor.org/rfc/rfc7519
    |eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_.-]{0,8192}+
    # docs.databricks.com/dev-tools/auth/pat; docs.digitalocean.com/reference/api;
    # docs.docker.com/security/access-tokens
    |dapi[a-f0-9]{32}(?:-\d)? |do[por]_v1_[a-f0-9]{64}
    |dckr_[po]at_[A-Za-z0-9_-]{20,99}
    # sendgrid.com/docs/api-reference; core.telegram.org/bots/api#authorizing-your-bot
    |SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}
    |(?<=:)AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])
    # developer.hashicorp.com/vault/docs/concepts/tokens; grafana.com/docs; linear.app;
    # developers.notion.com; console.groq.com; replicate.com; docs.wandb.ai;
    # kaggle.com/docs/api; shopify.dev; pulumi.com; support.atlassian.com;
    # docs.doppler.com
    |hv[sbr]\.[A-Za-z0-9_-]{24,300} |gl(?:sa|c)_[A-Za-z0-9_+/=-]{32,400}
    |(?:lin_api|ntn|gsk|r8|wandb_v1|KGAT)_[A-Za-z0-9_]{30,120}
    |(?:shp(?:at|ca|pa|ss)_|pul-)[a-f0-9]{32,40}
    |(?:AT[AC]TT3|ATBB)[A-Za-z0-9_=-]{28,300} |dp\.[psc]t\.[A-Za-z0-9.]{40,80}
    )""",
    re.VERBOSE,
)
_IN_TOKENS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+/=.~%"
_IS_IN_TOKENS = bytes(letter in _IN_TOKENS for letter in range(256))
_SHORTEST_RUN = b"\1" * 20


def find(text: str, what: str) -> Iterator[int]:
    """Yield where a text occurs in another."""
    at = text.find(what)
    while at >= 0:
        yield at
        at = text.find(what, at + len(what))


def token_spans(text: str) -> Iterator[Span]:
    """Yield the tokens of known form in a text."""
    # Only runs of 20 letters that tokens are made of are searched, which is fast.
    kinds = text.encode("ascii", "replace").translate(_IS_IN_TOKENS)
    start = kinds.find(_SHORTEST_RUN)
    while start >= 0:
        end = kinds.find(b"\0", start)
        end = len(text) if end < 0 else end
        while start < end and (found := _TOKEN.search(text, start, end)):
            whole = _TOKEN.match(text, found.start()) or found  # past the run, too
            yield whole.span()
            start = whole.end()
        start = kinds.find(_SHORTEST_RUN, max(start, end))


# Base64 in the lines of a key, whatever the lines are in: quotes, a list, a listing.
_BETWEEN = r"(?:\\[nrt]|&quot;|[\s\"',()|>:;\\]|\+(?=\s)|-{2,}>|\d{1,4}(?=[ \t]))*+"
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    rf"(?:{_BETWEEN}(?:Proc-Type|DEK-Info|Version|Comment|Hash): [^\n\\]{{0,200}})*+"
    rf"(?:{_BETWEEN}[A-Za-z0-9+/]{{8,}}+={{0,2}}+)++"
    rf"(?:{_BETWEEN}=?[A-Za-z0-9+/]{{1,7}}+={{0,2}}+(?={_BETWEEN}-----END))?+"
    rf"(?:{_BETWEEN}-----END [A-Z0-9 ]{{0,40}}PRIVATE KEY(?: BLOCK)?-----)?+"
)


def pem_spans(text: str) -> Iterator[Span]:
    """Yield the private keys, as rfc-editor.org/rfc/rfc7468 writes them."""
    for at in find(text, "-----BEGIN "):
        if found := _PEM.match(text, at):
            yield found.span()


_USER = r"[^\s/?#:@\"'<>`\\]{0,256}+"
_ADDRESS = re.compile(rf"({_USER})(?::([^\s/\"'<>`\\]{{1,512}}))?@")
# A "/" or "@" in a password that was not quoted belongs to it.
_LOOSE_ADDRESS = re.compile(rf"({_USER}):([^\s\"'<>`\\]{{1,512}})@(?=[\w.\[-])")
_LONGEST_ADDRESS = 800
_NO_PASSWORD = re.compile(
    r"\d{1,5}(?:[/?#]|$)|(?:password|passwd|pass|pwd|token|port)$", re.IGNORECASE
)
"""A port, or a placeholder as in ``user:password@host:port``."""


def address_spans(text: str) -> Iterator[Span]:
    """Yield the passwords and tokens in addresses: rfc3986, section 3.2.1."""
    for at in find(text, "://"):
        if text.find("@", at, at + _LONGEST_ADDRESS) < 0:
            continue
        found = _ADDRESS.match(text, at + 3) or _LOOSE_ADDRESS.match(text, at + 3)
        if found is None:
            continue
        user, password = found[1], found[2]
        if password is None:  # the user of a web address may be a token
            is_web = text[max(0, at - 5) : at].lower().endswith(("http", "https"))
            if is_web and len(user) >= 16 and is_random(user):
                yield found.span(1)
            continue
        is_word = is_placeholder(password) and not password.isalnum()
        if not _NO_PASSWORD.match(password) and not is_word:
            yield found.span(2)
            if len(user) >= 20 and is_random(user):
                yield found.span(1)


_BEARER = re.compile(r"[ \t]{1,4}([A-Za-z0-9._~+/=-]{16,8192}+)")
_BASIC = re.compile(r"[ \t]{1,4}([A-Za-z0-9+/]{6,8192}+={0,2})")


def header_spans(text: str, lowered: str) -> Iterator[Span]:
    """Yield what bearer and basic headers hold: rfc6750 and rfc7617.

    ``lowered`` is the text in lower case, of the same length.
    """
    for at in find(lowered, "bearer"):
        found = _BEARER.match(text, at + 6)
        if found and (is_random(found[1]) or is_secret(found[1], Strength.TOKEN)):
            yield found.span(1)
    for at in find(lowered, "basic"):
        found = _BASIC.match(text, at + 5)
        if found and _is_login(found[1]):
            yield found.span(1)


def _is_login(code: str) -> bool:
    try:
        plain = base64.b64decode(code + "=" * (-len(code) % 4), validate=True)
        name, colon, password = plain.decode("utf-8").partition(":")
    except ValueError:
        return False
    return bool(colon and name + password) and (name + password).isprintable()
