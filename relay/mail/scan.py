"""Content looked at while it passes by in pieces: the checks of `check` that need every octet, without holding them.

Stands where large content comes in. The header is kept, for the other checks; of the body only what must be known of
it: that its line ends are CRLF, that no line is too long and no NUL is in it, and whether it holds octets above 127.
"""

from __future__ import annotations

from relay.mail.check import ContentError, check_octets, malformed
from relay.mail.header import MAX_HEADER, MAX_LINE, HeaderError, split_content
from relay.smtp.reply import reply


class ContentScan:
    """One content. Pieces may be cut anywhere; `feed` gives back what of each belongs to the body."""

    __slots__ = ("_column", "_head", "_held", "eight_bit", "header")

    def __init__(self) -> None:
        self._head = bytearray()
        self._held = b""
        """A CR whose LF is in the next piece."""
        self._column = 0
        """Octets of the last line, which has no end yet."""
        self.header: bytes | None = None
        """The header block with its final CRLF, once the empty line has come."""
        self.eight_bit = False
        """Whether the body so far holds octets above 127."""

    def feed(self, piece: bytes) -> bytes:
        """The next octets. Raises ContentError as `check_content` does."""
        text = self._held + piece if self._held else piece
        self._held = b"\r" if text.endswith(b"\r") else b""
        if self._held:
            text = text[:-1]
        self._check(text)
        body = text if self.header is not None else self._split(text)
        self.eight_bit = self.eight_bit or not body.isascii()
        return body

    def finish(self) -> bytes:
        """The header, when all was fed. Raises ContentError."""
        if self._held:
            check_octets(self._held)
        if self.header is None:
            try:
                self.header, _ = split_content(bytes(self._head))
            except HeaderError as error:
                raise malformed(error) from None
        return self.header

    def _check(self, text: bytes) -> None:
        first = text.find(b"\n")
        if self._column + (len(text) if first < 0 else first - 1) > MAX_LINE:
            raise ContentError(reply(550, "5.6.0", f"the message contains a line longer than {MAX_LINE} octets"))
        check_octets(text)
        self._column = self._column + len(text) if first < 0 else len(text) - text.rfind(b"\n") - 1
        if self._column > MAX_LINE:
            raise ContentError(reply(550, "5.6.0", f"the message contains a line longer than {MAX_LINE} octets"))

    def _split(self, text: bytes) -> bytes:
        """Keep what belongs to the header; the rest."""
        start = max(0, len(self._head) - 3)
        self._head += text
        if self._head.startswith(b"\r\n"):
            end, begins = 0, 2
        else:
            found = self._head.find(b"\r\n\r\n", start)
            if found < 0:
                if len(self._head) > MAX_HEADER:
                    raise malformed(HeaderError(f"the header is longer than {MAX_HEADER} octets"))
                return b""
            end, begins = found + 2, found + 4
        self.header, body = bytes(self._head[:end]), bytes(self._head[begins:])
        self._head.clear()
        return body
