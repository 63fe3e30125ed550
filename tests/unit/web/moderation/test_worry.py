"""Worry about the reader: recognised in both languages, and neither incitement nor the writer's own despair is."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.data_files import data_file
from relay.errors import ConfigurationError
from tests.support.moderation import the_moderator
from web.moderation.moderator import load_moderator
from web.moderation.pack import load_rulebook
from web.moderation.ruling import Step

MODERATOR = the_moderator()
WORRIED = """
I'm scared you'll hurt yourself.
Please don't do anything stupid, call me.
I’m afraid you are going to kill yourself.
I worry you might do something to yourself tonight.
Promise me you won't harm yourself.
Please don't kill yourself, I love you.
I heard you say you want to die and I'm worried sick.
Are you thinking about suicide? Please talk to somebody.
After last night I am terrified that you will do something rash.
You talk about dying a lot lately. It's not a joke any more and it scares me, when you talk of dying I am scared.
We are all worried that you might harm yourself.
I saw the cuts on your arms and I'm worried.
I couldn't bear it if you hurt yourself.
Don't hurt yourself, please.
Don't do anything stupid. Call me, at any hour.
I beg you, never take your life.
I keep fearing you'll do something desperate.
Swear to me you will never do anything to yourself.
It frightens me how you joke about killing yourself.
I am worried about you and I fear you are suicidal.
Please stay alive. The garden needs you, and so do I.
I’m so afraid that you’ll end it all.
My whole fear is that you cut yourself again.
Everyone at the club is concerned you may be hurting yourself.
I beg you not to take your own life
We are all worried you could end your life
J'ai peur que tu fasses une bêtise.
Je t'en prie, ne fais pas de bêtise, appelle-moi.
J'ai peur que tu te fasses du mal.
Promets-moi de ne pas te faire de mal.
Je m'inquiète, tu parles de mourir.
Ne te tue pas, s'il te plaît.
J'ai peur que vous en finissiez.
Tu penses au suicide ? Parles-en à quelqu'un, à moi si tu veux.
Je crains que vous vous fassiez du mal.
Depuis lundi j’ai la trouille que tu te suicides.
J'ai vu les marques sur tes bras et je m'inquiète.
Quand tu dis que tu veux mourir, j'ai peur.
Je ne supporterais pas que tu te fasses du mal.
Reste en vie, je t'en supplie, reste en vie.
Ne fais pas de conneries stp.
Ne vous faites pas de mal, on tient à vous.
J'ai peur que tu fasses quelque chose d'irréparable.
Je redoute que tu mettes fin à tes jours.
Promettez-moi de ne pas faire de bêtise.
Jure-moi que tu ne te feras pas de mal.
Toute la bande est inquiète que tu veuilles disparaître.
Ne fais pas de bêtise. Appelle-moi, même la nuit.
J’ai peur que tu ne te fasses du mal ce soir.
Je t'en supplie, ne te suicide pas.
"""
NOT_WORRIED = """
Go hurt yourself.
Please kill yourself.
Why don't you kill yourself, please?
Why not kill yourself, please.
I hope you hurt yourself.
Are you too scared to kill yourself? Do it.
I'm not worried you'll kill yourself, nobody is.
You are scared you'll hurt yourself? Good.
Please don't forget to kill yourself.
Nobody would be afraid if you killed yourself.
Don't kill yourself, I'll do it for you.
I want to kill myself tonight.
I'm scared I'll hurt myself.
Please don't let me do anything stupid.
I am afraid of what I might do to myself.
I'm worried about you.
I'm worried you'll hurt yourself lifting those boxes, let me help.
Don't kill yourself over that project, please.
I was scared you would hurt me.
Please don't hurt yourself on the ladder.
I'm afraid you did not get the job.
Don't do anything stupid at the party, please.
I worry you work too much.
Don't do anything stupid or else.
Fais-toi du mal.
Tue-toi, s'il te plaît.
Pourquoi tu ne te tues pas ?
Pourquoi ne pas te suicider ?
N'oublie pas de te suicider.
Je n'ai pas peur que tu te fasses du mal, vas-y.
J'ai peur que tu ne te tues jamais.
Tu as peur que tu te fasses du mal ? Tant mieux.
J'espère que tu vas te faire du mal.
Tu devrais te suicider.
J'ai peur de me faire du mal.
J'ai peur de te faire du mal en te le disant.
J'ai peur que tu me fasses du mal.
Je veux mourir.
Je pense au suicide toutes les nuits.
J'ai envie d'en finir et j'ai peur.
J'ai peur que tu te tues au travail.
Ne te tue pas à la tâche.
Ne fais pas de bêtises à l'école, stp.
Je m'inquiète pour toi.
J'ai peur que tu m'oublies.
Ne fais pas de bêtise, sinon je le dis à tout le monde.
J'ai fait une bêtise et j'ai peur que tu m'en veuilles.
Je t'en prie, ne fais pas attention à eux.
Toute la classe vous prie de n'en rien faire.
"""


def sentences(text: str) -> list[str]:
    return text.strip().splitlines()


@pytest.mark.parametrize("text", sentences(WORRIED))
def test_worry_about_the_reader_is_recognised(text: str) -> None:  # RCP 9
    ruling = MODERATOR.rule(text)
    assert ruling.worries
    assert not ruling.step.stops
    assert not ruling.rules


@pytest.mark.parametrize("text", sentences(NOT_WORRIED))
def test_neither_incitement_nor_ones_own_despair_is_worry(text: str) -> None:  # RCP 9
    assert not MODERATOR.rule(text).worries


@pytest.mark.parametrize("text", ["You are a pathetic loser.", "Go kill yourself."])
def test_words_of_worry_do_not_cover_an_attack(text: str) -> None:  # RCP 9
    ruling = MODERATOR.rule(f"I'm scared you'll hurt yourself. {text}")
    assert (ruling.step, ruling.worries) == (Step.REFUSE, False)


def test_a_pack_may_have_no_worry_and_what_is_wrong_in_it_is_told_with_its_line(tmp_path: Path) -> None:
    own = tmp_path / "moderation" / "en.toml"
    own.parent.mkdir()
    text = data_file("moderation/en.toml").read_text(encoding="utf-8")
    own.write_text(text[: text.index("\n[worry]")], encoding="utf-8")
    assert not load_moderator(tmp_path).rule("I'm scared you'll hurt yourself.").worries
    wrong = "\n[worry]\npatterns = ['<none> you']\nunless = []\nwords = 1\n"
    own.write_text(own.read_text(encoding="utf-8") + wrong, encoding="utf-8")
    line = own.read_text(encoding="utf-8").count("\n")
    with pytest.raises(ConfigurationError) as caught:
        load_rulebook(tmp_path)
    assert f"en.toml:{line}: [worry] words: is unknown; there are class, patterns, unless" in str(caught.value)
    assert f"en.toml:{line - 2}: [worry] patterns: '<none> you' names the class <none>" in str(caught.value)
