"""Is a letter in a language that nobody here reads? Told by the small words of other languages and by alphabets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_LEAST_FOREIGN: Final = 3
_LEAST_SHORT: Final = 2
_SHORT: Final = 8
"""Words up to which a letter is short, so that two words of another language are many."""
_OTHERS: Final = {
    "es": "el los las una pero porque muy yo mi te quiero eres estoy tengo que por para con nunca siempre hasta como "
    "cuando donde todo nada tambien eso esto hay soy del lo se le gracias vida siento contigo voy a "
    "matar hijo puta madre tonto estas hola",
    "de": "der die das und ich du nicht ist ein eine einen mit dich dir mir mich auf wir aber auch noch nie immer "
    "habe hast bin bist war sein dein deine mein meine sehr wie wenn weil dass fur von zu danke liebe dumm "
    "bringe hasse arschloch",
    "it": "il gli che non sono sei mi ti una perche molto ho hai della dello nel ma anche questo quello come quando "
    "mai sempre per con ciao grazie amore vita bene tutto niente io lo stronzo vaffanculo",
    "pt": "nao voce um uma que eu muito mas com para por os as tambem quando porque obrigado sempre nunca meu minha "
    "seu sua estou tenho sou isso tudo nada do da em",
    "nl": "het een ik je niet van en dat met voor zijn was heb hebt ben bent maar ook nog nooit altijd mijn jouw heel "
    "veel als omdat op te aan wij",
    "pl": "nie to jest sie na do ze ja ty mnie ciebie jak ale bardzo byl jestem jestes dla moj twoj kocham",
    "ro": "nu sunt esti este si un o sa te am ai foarte dar pentru cu ca mai ce cand iubesc",
    "sv": "och jag du inte ar en ett det som att med pa har min din mycket aldrig alltid tack alskar dig",
    "tr": "bir ve bu ne cok sen ben icin degil seni beni ama gibi daha var yok seviyorum",
    "da": "og jeg ikke er et det som med paa har min din meget aldrig altid tak elsker dig hvad",
    "cs": "a ja ty neni je to na se ze mi te ale jako moc rad miluji chybis jsem jsi proc",
    "hu": "a az es nem hogy egy van vagy vagyok te en nagyon szeretlek szia koszonom",
    "fi": "ja mina sina on ei se etta olen olet mutta hyvaa paivaa ystavani rakastan sinua kiitos",
    "id": "aku kamu dan yang tidak ini itu saya anda cinta rindu sangat dengan untuk terima kasih",
    "tl": "ang ng sa ako ikaw kita mahal hindi po mo ko siya kayo salamat",
    "hr": "ja ti nije je da se na volim te mi ali sam si hvala zasto nisi",
}
_WORDS: Final = {language: frozenset(words.split()) for language, words in _OTHERS.items()}
_LATIN_END: Final = 0x24F
_FOREIGN_LETTERS: Final = re.compile(
    "[\u0102-\u0111\u0118-\u011b\u011f-\u012f\u0131-\u0137\u0139-\u0151\u0154-\u0177\u0179-\u017eäåðñòõöøýþßãìùơưạ-ỹ]"
)
"""Letters that no word of English has, and hardly one of French."""


def is_foreign(text: str, words: Iterable[str], common: frozenset[str] | set[str]) -> bool:
    """Whether most of `text` is neither English nor French: `common` has the small words of these two."""
    letters = [character for character in text if character.isalpha()]
    other = sum(ord(character) > _LATIN_END and not "ﬀ" <= character <= "ﬆ" for character in letters)
    if other * 2 > len(letters) > 3:
        return True
    seen = list(words)
    ours = sum(word in common for word in seen)
    theirs = max(sum(word in known and word not in common for word in seen) for known in _WORDS.values())
    marked = sum(_FOREIGN_LETTERS.search(word) is not None for word in text.lower().split())
    return (
        (theirs >= _LEAST_FOREIGN and theirs > 2 * ours)
        or (theirs >= _LEAST_SHORT and theirs > ours and len(seen) <= _SHORT)
        or (marked >= _LEAST_SHORT and marked > ours)
    )
