"""`picasso.testing`: a visualization that is as it should be, and sentences for those that are not."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from picasso.testing import ContractBroken, TinyModel, contract, problems, run
from picasso.testing.case import Case
from picasso.testing.checks import CHECKS
from picasso.visualizations.base import BaseVisualization
from picasso.visualizations.discovery import discover

EXAMPLE = Path(__file__).parents[1] / "examples" / "plugin"
CODE = """
    import numpy as np
    from picasso.visualizations.base import BaseVisualization, Field, Settings

    class Mine(BaseVisualization):
        description = "Mine"

        class settings(Settings):
            size: int = Field(3, ge=1, le=4, description="How large")

        def make_visualization(self, inputs, output_dir, settings):
            prepared = self.model.preprocess([one.data for one in inputs])
            scores = self.model.predict(prepared.x)
            return [{"map": x.mean(axis=-1), "score": score.max()} for x, score in zip(prepared.x, scores)]
"""
TEMPLATE = """
    {% extends "result.html" %}
    {% block vis %}{% for result in results %}{{ result.score|number }}{% endfor %}{% endblock %}
"""


@pytest.fixture
def mine(tmp_path):
    """The class above with one part of it, or of its template, replaced."""

    def make(part: str = "", by: str = "") -> type[BaseVisualization]:
        assert part in CODE + TEMPLATE
        (tmp_path / "mine.py").write_text(dedent(CODE.replace(part, by) if part else CODE))
        (tmp_path / "Mine.html").write_text(dedent(TEMPLATE.replace(part, by) if part else TEMPLATE))
        registry = discover([tmp_path])
        assert registry.broken == []
        return registry.get("mine")

    return make


def sentences_of(visualization, checks):
    """What some checks say; `problems` makes pages besides, which takes a moment."""
    case, found = Case.of(visualization, TinyModel()), []
    for check in checks:
        try:
            case.keeps_to(check)
        except ContractBroken as error:
            found.append(str(error))
    return "\n".join(found)


def test_one_that_is_as_it_should_be(mine):
    assert problems(mine()) == []
    assert [result["score"] > 0.25 for result in run(mine())] == [True] * 3


def test_a_test_case_for_each_check_and_model(mine):
    test = contract(mine())
    marks = {mark.args[0]: mark.args[1] for mark in test.pytestmark}
    assert marks["check"] == CHECKS
    assert [one.info.input_shape[2] for one in marks["model"]] == [3, 1]
    test(CHECKS[3], marks["model"][1])
    with pytest.raises(ContractBroken, match="Its description is empty"):
        contract(mine('description = "Mine"'))(CHECKS[0], TinyModel())


RETURN = "return [{"
TO_THE_END = 'return [{"map": x.mean(axis=-1), "score": score.max()} for x, score in zip(prepared.x, scores)]'


@pytest.mark.parametrize(
    ("part", "by", "sentences"),
    [
        ('description = "Mine"', "", ["Its description is empty: write a sentence for its card on the start page."]),
        (', description="How large"', "", ["The setting 'size' has no description, its help: Field(..., descr"]),
        ("x.mean(axis=-1)", "x.mean(axis=-1).T", ["results[0]['map'] has the shape (16, 12); a map has the height"]),
        ("x.mean(axis=-1)", "x.mean(axis=-1) * np.nan", ["['map'] are NaN or infinite"]),
        ("score.max()", "float('nan')", ["results[0]['score'] is NaN or infinite"]),
        ("x.mean(axis=-1)", "x.mean(axis=-1, dtype=float)", ["results[0]['map'] is an array of float64; make it .as"]),
        ("score.max()", "object()", ["results[0] cannot be kept. The result holds a object"]),
        (TO_THE_END, "return [1]", ["It must return one result per image: 3, got 1 results."]),
        (TO_THE_END, "return", ["It must return a list with one result per image, got NoneType."]),
        ("prepared = ", "1 / 0; prepared = ", ["make_visualization failed at ", ", line 12: ZeroDivisionError"]),
        ("score.max()", "np.random.default_rng().random()", ["The same run twice gave different results."]),
        (RETURN, "[one.data.paste(0, (0, 0, 1, 1)) for one in inputs]; return [{", ["changed its input picture 0.png"]),
        (RETURN, "self.model.weights['dense'] *= 2; return [{", ["A run changed the model: it gives other scores"]),
        (RETURN, "self.progress(0.7); self.progress(0.3); return [{", ["Progress went from 0.7 to 0.3"]),
        (RETURN, "self.progress(0.7); return [{", ["Progress was 0.7 when the run ended"]),
        (RETURN, "self.progress(1, '', [{}] * 9); return [{", ["progress() was given 9 results for 3 images."]),
        (RETURN, "self.enough(); return [{", ["It asks enough(), but stoppable is not True"]),
        ("    description =", "    stoppable = True\n        description =", ["but it never asks enough()."]),
        ("result.score|number", "result.skore|number", ["Mine.html, line 3: UndefinedError", "> 3 | {% block"]),
        ("result.score|number", "results[1].score|number", ["Mine.html, line 3: UndefinedError", "list object has"]),
        ("{% endfor %}", '<img src="outputs/a.png">{% endfor %}', ["The page shows outputs/a.png, which is not there"]),
        ("{% endfor %}", '<p style="color: red">{% endfor %}', ["The page has <p style=...>, which the policy of pag"]),
        ("{% endfor %}", "<script>x</script>{% endfor %}", ["The page has <script>, which the policy of pages forb"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_sentences(mine, part, by, sentences):
    of_the_page = part in TEMPLATE
    found = sentences_of(mine(part, by), CHECKS[-1:] if of_the_page else CHECKS[:-1])
    for sentence in sentences:
        assert sentence in found


def test_cost_and_limits_that_are_not_kept(mine):
    wrong = """
        @classmethod
        def model_calls(cls, settings, info):
            return 2

        @classmethod
        def parse_settings(cls, values, info=None, *, strict=False):
            return cls.settings(**dict.fromkeys(values, 2))

        def make_visualization("""
    found = sentences_of(mine("\n        def make_visualization(", wrong), CHECKS[:-1])
    assert "model_calls says 2 for a picture, and 1 took 1." in found
    assert "The setting 'size' takes 0, which its declaration does not allow." in found
    assert "unknown_settings_are_refused failed at " in found  # pydantic's own error, which no page understands


def test_cancelled_must_pass(mine):
    swallows = "import contextlib\n            with contextlib.suppress(BaseException): self.progress(1)\n"
    found = sentences_of(mine(RETURN, f"{swallows}            {RETURN}"), CHECKS[:-1])
    assert "It went on after it was cancelled" in found


def test_one_without_a_template(mine, tmp_path):
    found = mine()
    (tmp_path / "Mine.html").unlink()
    sentence = "Mine is broken: Its template is missing: write Mine.html beside the class, or in templates/."
    assert problems(found) == [sentence]


def test_the_example_keeps_to_it_and_is_what_is_written():
    scaffold = Path(__file__).parents[1] / "picasso" / "scaffold"
    written = {path.name: path.read_text() for path in (EXAMPLE / "hidden_halves").glob("*.*")}
    assert written == {path.name: path.read_text() for path in scaffold.glob("*.*")}


# The tiny model
@pytest.fixture(scope="module", params=[3, 1])
def model(request):
    return TinyModel(request.param)


def test_gradients_are_those_of_the_scores(model):
    """Compared with differences of the scores themselves, pixel by pixel; no ReLU of this picture is at its kink."""
    x = np.random.default_rng(2).random((1, *model.info.input_shape)).astype(np.float32)
    steps = 1e-3 * np.eye(x.size, dtype=np.float32).reshape(-1, *x.shape[1:])
    for logits in (True, False):
        found = model.gradients(x, [2], logits=logits)[0]
        high, low = (model.predict(x + sign * steps, logits=logits)[:, 2] for sign in (1, -1))
        np.testing.assert_allclose((high - low).reshape(found.shape) / 2e-3, found, atol=2e-3 * np.abs(found).max())


def test_layers_add_up_to_the_logit(model):
    x = np.random.default_rng(1).random((2, *model.info.input_shape)).astype(np.float32)
    activations, gradients = model.layer_gradients(x, [0, 3], "conv")
    logits = model.predict(x, logits=True)[[0, 1], [0, 3]]
    np.testing.assert_allclose((activations * gradients).sum(axis=(1, 2, 3)), logits, rtol=1e-4)


def test_shuffled_weights_come_back(model):
    x = np.random.default_rng(1).random((1, *model.info.input_shape)).astype(np.float32)
    before, scores = dict(model.weights), []
    for count in (0, 1, 2):
        with model.shuffled(count, seed=3):
            scores.append(model.predict(x))
    assert all(not np.array_equal(a, b) for a, b in pairwise(scores))
    assert all(model.weights[name] is before[name] for name in before)
    np.testing.assert_array_equal(model.predict(x), scores[0])
