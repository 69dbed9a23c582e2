"""Tokens that are known by their form.

Each rule begins with a text that is looked for first, which is fast; only where it is
found a regular expression is tried, and only there. Every repetition is bounded or
possessive, so no text takes more than linear time.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from itertools import accumulate

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
# Each token is in a run of at least so many letters of tokens.
_SHORTEST_RUN = 20
_RUN_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+/=.~%"
_KINDS = bytes(letter in _RUN_LETTERS for letter in range(256))


def token_spans(text: str) -> Iterator[Span]:
    """Yield the tokens of known form in a text."""
    runs = list(_long_runs(text))
    joined = "\n".join(text[start:end] for start, end in runs)
    begins = list(accumulate((end - start + 1 for start, end in runs), initial=0))
    for starts, body in _TOKENS:
        for start in starts.split():
            covered = -1
            for place in find(joined, start):
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
    for at in find(text, '"username"'):
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


def find(text: str, what: str) -> Iterator[int]:
    """Yield where a text occurs in another."""
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
