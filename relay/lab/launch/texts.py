"""What the people of the replay write: letters put together from sentences, so that no two of them read alike. Pure."""

from __future__ import annotations

from random import Random
from typing import Final

_GREETINGS: Final = {
    "en": ("Dear {name},", "Hello {name}.", "{name},", "Hi {name},", "My dear {name},", "Good evening {name}."),
    "fr": ("Chère {name},", "Bonjour {name}.", "{name},", "Salut {name},", "Ma chère {name},", "Bonsoir {name}."),
}
_NAMES: Final = ("Ann", "Sam", "Camille", "Alex", "Lou", "Charlie", "Robin", "Claude", "Jo", "Noa", "Eden", "Sacha")
_SENTENCES: Final = {
    "en": (
        "I never told you how much the {thing} you lent me helped me through {month}.",
        "For {number} years I have wanted to say that I am sorry about the {thing}.",
        "I was the one who broke the {thing} at your {month} party, and I have felt bad about it ever since.",
        "You talk over everybody in meetings, and since {month} people have stopped bringing you their ideas.",
        "I think I am a little in love with you, and it began over a {thing}.",
        "Your {thing} at the last meeting was the best part of my whole {month}.",
        "I lied when I said I liked the {thing}; I wanted you to stay a while longer.",
        "Please be kinder to yourself this {month}: you do more than {number} of us together.",
        "When my mother was ill you brought a {thing} every week, and I never thanked you.",
        "I am leaving the company in {month}, and you are the only one I shall really miss.",
        "Your jokes about my {thing} hurt me more than I showed, and I would like them to stop.",
        "You were right about the {thing}, and I was too proud to say so in {month}.",
        "I counted: you have paid for {number} of my coffees, and I have paid for none.",
        "The {thing} you made for us still stands in my kitchen.",
        "Do you remember the {thing} we found in {month}? I kept it.",
        "I should have stood up for you when they laughed about the {thing}.",
    ),
    "fr": (
        "Je ne t’ai jamais dit combien le {thing} que tu m’as prêté en {month} m’a aidé.",
        "Depuis {number} ans je voudrais te dire que je regrette l’histoire du {thing}.",
        "C’est moi qui ai cassé le {thing} à ta fête de {month}, et je m’en veux encore.",
        "En réunion tu coupes la parole à tout le monde, et depuis {month} les gens se taisent.",
        "Je crois que je suis un peu amoureux de toi, et tout a commencé par un {thing}.",
        "Ton {thing} de la dernière réunion a été le meilleur moment de mon mois de {month}.",
        "J’ai menti en disant que j’aimais ce {thing} : je voulais que tu restes encore.",
        "Repose-toi un peu en {month} : tu as fait le travail de {number} personnes pour le {thing}.",
        "Quand ma mère était malade tu apportais un {thing} chaque semaine, et je n’ai pas dit merci.",
        "Je quitte l’entreprise en {month}, et tu es la seule personne qui va me manquer.",
        "Tes blagues sur mon {thing} m’ont blessé plus que je ne l’ai montré.",
        "Tu avais raison pour le {thing}, et j’étais trop fier pour le dire en {month}.",
        "J’ai compté : tu m’as offert {number} cafés, et moi aucun.",
        "Le {thing} que tu nous as fabriqué est toujours dans ma cuisine.",
        "Te souviens-tu du {thing} que nous avons trouvé en {month} ? Je l’ai gardé.",
        "J’aurais dû te défendre quand ils ont ri du {thing}.",
    ),
}
_THINGS: Final = {
    "en": ("book", "bicycle", "cake", "lamp", "song", "scarf", "drawing", "radio", "map", "garden", "piano", "camera"),
    "fr": ("livre", "vélo", "gâteau", "chapeau", "dessin", "manteau", "jardin", "piano", "bateau", "foulard", "thé"),
}
_MONTHS: Final = {
    "en": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October"),
    "fr": ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre"),
}
_ABUSE: Final = {
    "en": (
        "You are worthless and everybody at work hates you, loser.",
        "Pay {number} euros in bitcoin or I send your photos to your wife.",
        "Nobody would miss you, so do us a favour and kill yourself.",
        "I know where you live, and you will be sorry when I get there with a {thing}.",
        "You ugly idiot, go back to your {thing}.",
    ),
    "fr": (
        "Tu es une merde, tout le monde te déteste au bureau.",
        "Je vais te tuer, fais attention quand tu sors ce soir.",
        "Paie {number} euros en bitcoin ou j’envoie tes photos à ta femme.",
        "Je sais où tu habites, tu vas le regretter.",
        "Espèce de conne, retourne à ton {thing}.",
    ),
}
_FOREIGN: Final = (
    "Ich wollte dir schon lange sagen, dass du mir wichtig bist und dass ich dich im {month} sehr vermisst habe.",
    "Hace mucho tiempo que quiero decirte que te echo de menos y que siento lo que pasó en {month}.",
)
_ADVERT: Final = (
    "Summer is coming and our {thing} shop has everything you need for it: come and see the new collection of the "
    "season today, the doors are open from nine to six and every second piece costs only half of what it did."
)


def letter(chance: Random, language: str) -> str:
    """A confession, a hard truth or a thank-you, of three sentences."""
    greeting = chance.choice(_GREETINGS[language]).format(name=chance.choice(_NAMES))
    told = [_fill(chance, language, one) for one in chance.sample(_SENTENCES[language], 3)]
    return f"{greeting}\n\n{' '.join(told)}"


def abuse(chance: Random, language: str) -> str:
    """A letter that nobody should get."""
    return _fill(chance, language, chance.choice(_ABUSE[language]))


def foreign(chance: Random) -> str:
    """A letter in a language that no rule here reads."""
    return _fill(chance, "en", chance.choice(_FOREIGN))


def advert(thing: int) -> str:
    """The same words for many: an advertisement; `thing` says which."""
    return _ADVERT.format(thing=_THINGS["en"][thing % len(_THINGS["en"])])


def _fill(chance: Random, language: str, sentence: str) -> str:
    return sentence.format(
        thing=chance.choice(_THINGS[language]),
        month=chance.choice(_MONTHS[language]),
        number=chance.randint(2, 30),
    )
