"""What the node decides by itself: which settings a reload cannot apply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from relay.reloading import needs_restart
from relay.settings import Settings, settings_from


def settings(**sections: dict[str, Any]) -> Settings:
    return settings_from({"node": {"name": "mail.leak.example"}, **sections}, Path("/nowhere"))


def test_a_reload_says_what_needs_a_restart() -> None:
    old = settings(submission={"listen": ["127.0.0.1:2525"]})
    assert needs_restart(old, old) == []
    new = settings(submission={"listen": ["127.0.0.1:2526"]}, delivery={"expire_after": "1d"})
    assert needs_restart(old, new) == ["delivery.expire_after", "submission.listen"]
