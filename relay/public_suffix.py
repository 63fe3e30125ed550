"""Whose domain a name is: what stands one label below a public suffix (`co.uk`, `gouv.fr`, `github.io`). Pure.

Below a public suffix anybody may register a name, so its neighbours there are strangers. The list is Mozilla's
(https://publicsuffix.org), as the library carries it: nothing is fetched. Receivers may find a domain's organisation by
asking the DNS (RFC 9989 §4.10); this is for what must be told without.
"""

from __future__ import annotations

from functools import cache

from publicsuffixlist import PublicSuffixList


def organisational_domain(domain: str) -> str | None:
    """The name of `domain` or above it that its holder registered, in lower case.

    None for a public suffix itself, and for what is no name. Below a suffix of nobody's list the second label counts.
    """
    found: str | None = _suffixes().privatesuffix(domain.lower().rstrip("."))
    return found


@cache
def _suffixes() -> PublicSuffixList:
    """Read at the first question: 45 ms and 1.2 MB, once a process."""
    return PublicSuffixList()
