"""The settings: `config/relay.toml`, overlaid by `LEAK_SECTION__KEY` variables, checked as a whole.

An unknown key is an error. Every complaint names file, line, key, what is wrong and what is allowed, and all
of them are reported at once. Relative paths start at the configuration's folder. `docs/reference/settings.md`
is generated from these modules, so each field carries its purpose.
"""

from __future__ import annotations

from relay.settings.loading import Settings, load_settings, settings_from
from relay.settings.sending import DeliveryRoute, EgressPool, SigningDomain
from relay.settings.values import Listen, Section, Size, TlsFiles, parse_listen

__all__ = [
    "DeliveryRoute",
    "EgressPool",
    "Listen",
    "Section",
    "Settings",
    "SigningDomain",
    "Size",
    "TlsFiles",
    "load_settings",
    "parse_listen",
    "settings_from",
]
