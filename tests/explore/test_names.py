"""What people write in place of a loss's name: one line says how it is written."""

import pytest

from segjax.cli import main
from segjax.errors import UserError
from segjax.explore.loss_text import parse_loss

pytestmark = pytest.mark.usefixtures("command_settings")


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """A loss of one's own in the current folder."""
    monkeypatch.chdir(tmp_path)
    text = "def loss(logits, labels, *, power=1):\n    return (logits**power).mean((1, 2, 3))\n"
    (tmp_path / "mine.py").write_text(text)


@pytest.mark.parametrize(
    "word, loss, option",
    [
        ("mine:loss:power=2", "mine:loss", "power"),
        ("mine:loss,power=2", "mine:loss", "power"),
        ("mine:loss(power=2)", "mine:loss", "power"),
        ("focal:gamma=3", "focal", "gamma"),
        ("focal:gamma=3,alpha=0.5", "focal", "gamma"),
        ("focal,gamma=3", "focal", "gamma"),
        ("region_wise:maps=signed", "region_wise", "maps"),
    ],
)
def test_options_are_of_an_example(capfd, word, loss, option):
    assert main(["check", word]) == 2
    assert capfd.readouterr().err == (
        f"segjax: {word!r}: a loss is named alone, {loss!r}, and checked with its default options; "
        f"put `{option}` beside the arrays in the dict that --example MODULE:FUNCTION gives\n"
    )


@pytest.mark.parametrize(
    "words, message",
    [
        (["focal", "gamma=3"], "'gamma=3': is no name of a loss; put `gamma` beside the arrays"),
        (["loss=dice"], "'loss=dice': a loss is named alone, 'dice'"),
        (["dice,focal"], "'dice,focal': names stand apart: dice focal"),
        (["dice+mine:loss"], "names stand apart: dice mine:loss"),
        (["segjax.losses.dice"], "'segjax.losses.dice': did you mean 'dice'?"),
        (["mine.loss"], "'mine.loss': one of your own is written package.module:loss, as in 'mine"),
        (["mine"], "one of your own is written package.module:loss"),
        (["cross-entropy"], "did you mean 'cross_entropy'? It has: "),
        (["mine:"], "'mine:': one of your own is written package.module:loss"),
        ([":loss"], "':loss': one of your own is written package.module:loss"),
        (["mine:loss:power"], "'mine:loss:power': one of your own is written package.module:loss"),
        (["dice:sum"], "'dice:sum': a loss is named alone, 'dice'"),
        (["mine:los"], "'mine:los': cannot import it: AttributeError"),
        (["mine.py:loss"], "'mine.py:loss': takes a module in place of a file: 'mine:loss'"),
        (["./mine.py:loss"], "'./mine.py:loss': takes a module in place of a file: 'mine:loss'"),
        (["a/mine.py:loss"], "takes a module in place of a file: 'a.mine:loss'"),
        (["../a/mine.py:loss"], "a file: 'mine:loss', from the folder that holds it"),
        (["all"], "'all': without a name all losses are checked"),
        (["mine:loss", "--example", "mine.py:f"], "a module in place of a file: 'mine:f'"),
    ],
)
def test_other_words(capfd, words, message):
    assert main(["check", *words]) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and message in errors, errors


@pytest.mark.parametrize(
    "text, message",
    [
        ("mine:loss,power=2", "options of your own stand behind a second colon: 'mine:loss:power="),
        ("mine.loss:power=2", "one of your own is written package.module:loss, as in 'mine:loss'"),
        ("mine.py:loss:power=2", "takes a module in place of a file: 'mine:loss'"),
        ("focl:gamma=3", "did you mean 'focal'?"),
    ],
)
def test_losses_of_a_landscape(text, message):
    with pytest.raises(UserError) as caught:
        parse_loss(text)
    assert message in str(caught.value)


def test_what_is_written_well_is_found(capfd):
    assert main(["check", "mine:loss"]) == 0
    assert parse_loss("mine:loss:power=2").options == {"power": 2}
