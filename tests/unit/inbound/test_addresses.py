"""What the door answers at a letter's reply address: the same to everybody, whatever their envelope says."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay.ids import SeededEntropy, SpoolId, new_spool_id
from relay.inbound.addresses import CROWDED, ENOUGH, Addresses
from relay.mail.address import parse_address
from relay.policy.hearing import Purpose
from relay.smtp.reply import Reply
from relay.spool.inbound_values import MOST_REPLIES, InboundAddress, RepliesCame
from relay.tokens import TokenKey, TokenKind, Tokens, delivery_subject
from tests.support.hand_clock import HandClock

LETTER = new_spool_id(1_790_000_000_000, SeededEntropy(1))
DOMAIN = "bounces.leak.example"


async def _nobody(_: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("came", "refusal"),
    [
        (RepliesCame(0), None),
        (RepliesCame(MOST_REPLIES), None),  # strangers wrote
        (RepliesCame(MOST_REPLIES - 1, 0, is_answered=True), None),
        (RepliesCame(MOST_REPLIES, 0, is_answered=True), ENOUGH),
        (RepliesCame(MOST_REPLIES + 5, MOST_REPLIES - 1), None),
        (RepliesCame(MOST_REPLIES + 5, MOST_REPLIES), CROWDED),
    ],
)
@pytest.mark.parametrize("kind", [TokenKind.REPLY, TokenKind.RETURN])
async def test_a_reply_address_takes_mail_until_the_letter_has_its_reply(
    came: RepliesCame, refusal: Reply | None, kind: TokenKind
) -> None:
    async def replies(message: SpoolId, n: int) -> RepliesCame:
        assert (message, n) == (LETTER, 0)
        return came

    clock = HandClock()
    tokens = Tokens([TokenKey(b"k" * 32)], clock)
    token = tokens.mint(kind, delivery_subject(LETTER, 0), clock.now() + timedelta(days=9))
    addresses = Addresses("mail.leak.example", frozenset({DOMAIN}), tokens, _nobody, replies, clock)
    answer = await addresses.judge(parse_address(f"{token}@{DOMAIN}"))
    if kind is TokenKind.REPLY and refusal is not None:
        assert answer == refusal
    else:
        assert isinstance(answer, InboundAddress)
        assert answer.purpose is (Purpose.REPLY if kind is TokenKind.REPLY else Purpose.RETURN)
