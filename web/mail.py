"""The mail that a draft makes: the preview and the sent letter come from the same value.

It holds what the writer typed, the signature's words and one footer for everybody; nothing in it belongs to
one sender (no address, agent, tag or id of theirs). Date, Message-ID and MIME are the relay's. The HTML part
says the same as the text part, fetches nothing, and names no colours, so that a mail program's own light and
dark apply.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from jinja2 import Environment

from relay.client.contract import Letter
from web.catalogue import Words
from web.draft import Draft
from web.letters import DOORBELLS, STREAM
from web.links import Addressee, RecipientLinks
from web.moderation.wording import HelpLine
from web.options import FrontOptions
from web.plain_text import paragraphs

CONFIRMATIONS: Final = "confirmations"
"""The stream of mails to writers."""


@dataclass(frozen=True, slots=True)
class FooterLine:
    """A line below the letter: a sentence, or the words of a link and where it leads."""

    text: str
    url: str = ""

    @property
    def plain(self) -> str:
        """As plain text says it."""
        return f"{self.text}\n{self.url}" if self.url else self.text


@dataclass(frozen=True, slots=True)
class Mail:
    """What the recipient gets. `body` is paragraphs of lines."""

    language: str
    sender: str
    sender_name: str
    recipient: str
    subject: str
    body: tuple[tuple[str, ...], ...]
    footer: tuple[FooterLine, ...]
    stream: str = STREAM
    answerable: bool = False
    """Whether it says that its reader may answer, and a reply is shown to its writer."""
    links: frozenset[str] = frozenset()
    """Lines of the body that are addresses of ours to follow; a writer's words never are."""

    @property
    def text(self) -> str:
        """The plain text part, lines ended by \\n."""
        body = "\n\n".join("\n".join(lines) for lines in self.body)
        return f"{body}\n\n{_RULE}\n" + "\n\n".join(line.plain for line in self.footer) + "\n"

    def letter(self, html: str, key: str) -> Letter:
        """The mail as the relay takes it, with this HTML part and this idempotency key; without either, to be shown."""
        return Letter(
            sender=self.sender,
            sender_name=self.sender_name,
            recipient=self.recipient,
            subject=self.subject,
            text=self.text,
            html=html,
            stream=self.stream,
            idempotency_key=key,
            answerable=self.answerable,
        )


_RULE = "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * 12


def crisis_lines(helps: tuple[HelpLine, ...], words: Words) -> tuple[FooterLine, ...]:
    """`helps` as lines below a letter, the first words said to its reader; none for nobody."""
    lines = (FooterLine(f"{one.told} {one.text}", one.link) for one in helps)
    return (FooterLine(words("mail.crisis")), *lines) if helps else ()


def rights_line(options: FrontOptions, words: Words) -> FooterLine:
    """Who runs the site, and where a reader finds their rights: they are to know at the first contact (GDPR 13, 14)."""
    by = words("mail.by", operator=options.operator.name) if options.operator.name else ""
    return FooterLine(f"{by} {words('mail.rights')}".lstrip(), f"{options.base_url}/{words.language}/privacy")


class MailWriter:
    """Makes mails of drafts; holds the template of the HTML part."""

    def __init__(self, options: FrontOptions, templates: Environment, links: RecipientLinks) -> None:
        self._options = options
        self._links = links
        self._template = templates.get_template("mail.html")

    def compose(self, draft: Draft, words: Words, letter_id: str = "", crisis: tuple[HelpLine, ...] = ()) -> Mail:
        """The mail of `draft` in the language of `words`; without a letter's id, its link leads nowhere.

        `crisis`: who helps its reader, where the writer worries that they might harm themselves.
        """
        signature = f"signature.{draft.signature.value}"
        answerable = self._options.replies
        return Mail(
            language=words.language.value,
            sender=self._options.sender,
            sender_name=draft.pseudonym or words(f"{signature}.name"),
            recipient=draft.recipient,
            subject=words(f"{signature}.subject"),
            body=paragraphs(draft.message),
            footer=(
                *crisis_lines(crisis, words),
                FooterLine(words("mail.why", site=self._options.base_url)),
                *([FooterLine(words("mail.reply"))] if answerable else []),
                *self._footer(draft, words, letter_id),
            ),
            answerable=answerable,
        )

    def _footer(self, draft: Draft, words: Words, letter_id: str) -> tuple[FooterLine, ...]:
        """What the reader of a mail may do about it."""
        page = self._links.recipient_url(Addressee(letter_id, draft.recipient) if letter_id else None)
        return (
            FooterLine(words("mail.never"), f"{page}#never"),
            FooterLine(words("mail.report"), f"{page}#report"),
            rights_line(self._options, words),
            FooterLine(words("mail.promise")),
        )

    def ring(self, draft: Draft, words: Words, letter_id: str = "") -> Mail:
        """The doorbell's mail: that somebody wrote, where it can be read, and nothing of the letter.

        Without a letter's id, its links lead nowhere.
        """
        mail = self.compose(draft, words, letter_id)
        link = self._links.read_url(Addressee(letter_id, draft.recipient) if letter_id else None)
        asks = (words("ring.wrote", site=self._options.base_url), words("ring.ask"), link, words("ring.kept"))
        name, subject = words("ring.name"), words("ring.subject")
        body = tuple((line,) for line in asks)
        return replace(
            mail,
            sender=self._options.doorbell_sender,
            sender_name=name,
            subject=subject,
            body=body,
            # No crisis line: that would tell what the letter is about. And there is nothing to answer yet.
            footer=(
                # The words of this mail are ours.
                FooterLine(words("ring.why", site=self._options.base_url)),
                *self._footer(draft, words, letter_id),
            ),
            answerable=False,
            stream=DOORBELLS,
            links=frozenset({link}),
        )

    def confirmation(self, address: str, code: str, words: Words, key: str) -> Letter:
        """The mail that brings a writer their code: in a stream of its own, about no letter.

        Nobody is told of its recipient: no webhook, no journal; and a bounce writes down no address.
        """
        told = (words("confirm.mail", site=self._options.base_url), code, words("confirm.mail_not_you"))
        mail = Mail(
            language=words.language.value,
            sender=self._options.confirming_sender,
            sender_name=words("ring.name"),
            recipient=address,
            subject=words("confirm.subject"),
            body=tuple((line,) for line in told),
            footer=(rights_line(self._options, words), FooterLine(words("mail.promise"))),
            stream=CONFIRMATIONS,
        )
        return replace(self.letter(mail, key), unnamed=True)

    def letter(self, mail: Mail, letter_id: str) -> Letter:
        """`mail` as the relay takes it, with the letter's id as idempotency key."""
        return mail.letter(self._template.render(mail=mail), letter_id)
