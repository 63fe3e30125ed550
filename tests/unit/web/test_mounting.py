"""What a node's settings and keys become in its front."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from relay.fronting import Front, FrontParts
from relay.ids import SeededEntropy
from relay.node_secrets import NodeSecrets
from relay.settings import settings_from
from tests.support.hand_clock import HandClock
from tests.support.relay_in_memory import RelayInMemory
from web.mounting import mount, options_of
from web.network import Network

FRONT: Front = mount
"""That the front takes what a node gives is checked by the types."""


def given(folder: Path, **web: Any) -> FrontParts:
    """A node's parts; there is no database, for nothing is stored."""
    nothing: Any = None
    keys = NodeSecrets(b"t" * 32, b"l" * 32, b"f" * 32, b"b" * 32, b"w" * 32, (b"o" * 32,), (b"p" * 32,))
    settings = settings_from({"web": web, "spool": {"keep_content": "3d"}}, folder)
    clock, entropy = HandClock(), SeededEntropy(1)
    return FrontParts(settings, RelayInMemory(), nothing, keys, clock, entropy, "leak.example", {}, None)


def test_each_key_has_its_purpose_and_files_stand_beside_the_settings(tmp_path: Path) -> None:
    options = options_of(given(tmp_path, tor_lists=["tor.txt"], sealed_keys="sealed", first_contact="doorbell"))
    assert (options.form_key, options.link_key, options.block_key) == (b"f" * 32, b"l" * 32, b"b" * 32)
    assert (options.old_link_keys, options.old_block_keys) == ((b"o" * 32,), (b"p" * 32,))
    assert options.sealed_keys == tmp_path / "sealed"
    assert options.network_lists == {Network.TOR: (tmp_path / "tor.txt",), Network.DATA_CENTRE: ()}
    assert options.sender == "letter@leak.example"
    assert (options.content_kept.days, options.doorbell) == (3, True)


def test_letters_that_are_due_are_looked_for_as_often_as_the_node_says(tmp_path: Path) -> None:
    node = given(tmp_path)
    assert options_of(node).hand_over_every == timedelta(seconds=5)
    assert options_of(replace(node, rounds=timedelta(seconds=1))).hand_over_every == timedelta(seconds=1)


def test_without_a_wall_there_is_no_weekly(tmp_path: Path) -> None:
    assert options_of(given(tmp_path, weekly="monday")).weekly == "monday"
    assert options_of(given(tmp_path, weekly="monday", wall=False)).weekly == "off"
