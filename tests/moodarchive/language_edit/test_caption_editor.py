"""An edit is exact where it must be, lasts for one sample, and leaves no trace in the weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from moodarchive.errors import EditError
from moodarchive.language_edit.caption_editor import (
    CAPTIONER,
    CaptionEditor,
    EditorModel,
    edit_from,
    edit_weights,
    open_caption_editor,
    save_caption_editor,
    take_factors,
)
from moodarchive.language_edit.captioner import Captioner, open_captioner, require_editable
from moodarchive.language_edit.factors import Factors
from moodarchive.language_edit.gradient_editor import FactorNet
from moodarchive.language_edit.prompts import MARK, CaptionRequest, instruction_for, prompt_of
from pipelines.demo.pairs.captions import drawn_request
from tests.making import textured
from tests.moodarchive.language_edit.small import CONFIG, small_captioner, trained_editor

REQUEST = drawn_request("face", 3, "joy", "anger")
LAYERS = CONFIG.layers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captioner")


@pytest.fixture(scope="module")
def captioner(folder: Path) -> Captioner:
    return small_captioner(folder)


@pytest.fixture(scope="module")
def editor(captioner: Captioner) -> CaptionEditor:
    return trained_editor(captioner)


def _image(seed: int = 1) -> Image.Image:
    return textured(24, 24, seed)


def _question(captioner: Captioner) -> tuple[Tensor, list[int], list[int]]:
    answer = [*captioner.ids(MARK), *captioner.ids(" anger")]
    return captioner.see([_image()])[0], captioner.ids(prompt_of(REQUEST), begins=True), answer


def _gradients(captioner: Captioner) -> dict[str, Tensor]:
    """By autograd, of the weights themselves."""
    picture, prompt, answer = _question(captioner)
    weights = {name: captioner.body.get_parameter(name) for name in captioner.weight_names(LAYERS)}
    for weight in weights.values():
        weight.requires_grad_(True)
    loss = nn.functional.cross_entropy(
        captioner.logits(captioner.answer_states(picture, prompt, answer)), torch.tensor(answer)
    )
    gradients = torch.autograd.grad(loss, list(weights.values()))
    for weight in weights.values():
        weight.requires_grad_(False)
    return dict(zip(weights, gradients, strict=True))


def _bits(captioner: Captioner) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in captioner.model.state_dict().items()}


def _require_old_bits(captioner: Captioner, before: dict[str, Tensor]) -> None:
    changed = [name for name, tensor in captioner.model.state_dict().items() if not tensor.equal(before[name])]
    assert not changed
    assert all(not module._forward_hooks for module in captioner.body.modules())


def test_the_factors_sum_is_the_weights_gradient(captioner: Captioner) -> None:
    factors = take_factors(captioner, *_question(captioner), LAYERS)
    gradients = _gradients(captioner)
    assert factors.keys() == gradients.keys() and len(factors) == 6
    for name, gradient in gradients.items():
        assert gradient.abs().max() > 0
        assert factors[name].gradient().equal(gradient), name


def test_an_untrained_editor_is_a_plain_gradient_step_to_the_bit(captioner: Captioner) -> None:
    model = EditorModel(captioner, CONFIG).eval()
    for net in model.editor.nets.values():  # statistics of some rows change nothing of it
        net.count.fill_(9.0)
        net.spread.copy_(torch.rand_like(net.spread))
        net.mean.copy_(torch.randn_like(net.mean))
    edited = edit_from(captioner, model, take_factors(captioner, *_question(captioner), LAYERS))
    for name, gradient in _gradients(captioner).items():
        assert edited[name].equal(captioner.body.get_parameter(name) - CONFIG.step * gradient), name


def test_steps_of_zero_give_the_same_logits(captioner: Captioner, editor: CaptionEditor) -> None:
    picture, prompt, answer = _question(captioner)
    weights = edit_weights(captioner, editor.model, picture, REQUEST)
    own = captioner.answer_states(picture, prompt, answer)
    assert not captioner.answer_states(picture, prompt, answer, weights).equal(own)
    steps = editor.model.editor.steps.clone()
    editor.model.editor.steps.zero_()
    try:
        still = edit_weights(captioner, editor.model, picture, REQUEST)
    finally:
        editor.model.editor.steps.copy_(steps)
    assert captioner.logits(captioner.answer_states(picture, prompt, answer, still)).equal(captioner.logits(own))


def test_weights_that_are_passed_in_act_as_weights_in_their_place(
    captioner: Captioner, editor: CaptionEditor, folder: Path
) -> None:
    picture, prompt, answer = _question(captioner)
    weights = edit_weights(captioner, editor.model, picture, REQUEST)
    other = open_captioner(folder)
    with torch.no_grad():
        for name, weight in weights.items():
            other.body.get_parameter(name).copy_(weight)
    assert captioner.answer_states(picture, prompt, answer, weights).equal(other.answer_states(picture, prompt, answer))
    text = captioner.write(picture, prompt_of(REQUEST), weights=weights, stop=MARK)
    assert text == other.write(picture, prompt_of(REQUEST), stop=MARK)


def test_rows_of_zeros_change_nothing(captioner: Captioner, editor: CaptionEditor) -> None:
    factors = take_factors(captioner, *_question(captioner), LAYERS)
    padded = {}
    for name, one in factors.items():
        lost = torch.zeros(3, one.inputs.shape[1]), torch.randn(3, one.deltas.shape[1])
        dead = torch.randn(2, one.inputs.shape[1]), torch.zeros(2, one.deltas.shape[1])
        padded[name] = Factors(
            inputs=torch.cat([lost[0], one.inputs, dead[0]]), deltas=torch.cat([lost[1], one.deltas, dead[1]])
        )
    with torch.no_grad():
        ours, theirs = (edit_from(captioner, editor.model, given) for given in (factors, padded))
    for name in ours:
        assert torch.allclose(ours[name], theirs[name], rtol=0, atol=1e-6), name
    nets = [FactorNet(16, 64, 1, 4).train() for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    for net, given in zip(nets, (factors, padded), strict=True):
        net(given["decoder.layers.3.fc2.weight"], 0)
    for name in ("mean", "spread", "count"):
        assert getattr(nets[0], name).equal(getattr(nets[1], name))
    assert 0 < float(nets[0].count) <= len(factors["decoder.layers.3.fc2.weight"].inputs)


def test_padding_at_the_end_changes_no_factor(captioner: Captioner) -> None:
    picture, prompt, answer = _question(captioner)
    from moodarchive.language_edit.factors import tap_layers

    names = captioner.weight_names(LAYERS)
    embeds = captioner.embed(picture, [*prompt, *answer])
    padding = torch.randn(1, 4, embeds.shape[2])
    mask = torch.ones(1, embeds.shape[1] + 4, dtype=torch.long)
    mask[:, -4:] = 0
    with tap_layers(captioner.body, names) as tapped:
        states = captioner.states(torch.cat([embeds, padding], 1), attention_mask=mask, use_cache=False)
        predicting = states.last_hidden_state[0, -len(answer) - 5 : -5]
        loss = nn.functional.cross_entropy(captioner.logits(predicting), torch.tensor(answer))
        padded = tapped.factors(loss)
    for name, one in take_factors(captioner, picture, prompt, answer, LAYERS).items():
        assert torch.allclose(one.gradient(), padded[name].gradient(), rtol=1e-4, atol=1e-6), name


def test_running_statistics_are_those_of_all_rows_and_stand_still_outside_training() -> None:
    torch.manual_seed(0)
    net = FactorNet(3, 2, 1, 2).train()
    rows = torch.randn(20, 5) * torch.tensor([1.0, 2, 3, 4, 5]) + 7
    for chunk in rows.split(6):
        net(Factors(inputs=chunk[:, :2], deltas=chunk[:, 2:]), 0)
    assert torch.allclose(net.mean, rows.double().mean(0))
    assert torch.allclose((net.spread / (net.count - 1)).sqrt(), rows.double().std(0))
    kept = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.eval()(Factors(inputs=rows[:, :2], deltas=rows[:, 2:]), 0)
    assert all(tensor.equal(kept[name]) for name, tensor in net.state_dict().items())


def test_an_edit_and_a_failing_one_leave_the_weights_their_old_bits(
    captioner: Captioner, editor: CaptionEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, state = _bits(captioner), {name: one.clone() for name, one in editor.model.state_dict().items()}
    edited = editor.edit_caption(_image(), REQUEST.caption, REQUEST.emotion, REQUEST.instruction, "anger")
    assert edited.text and edited.emotion == "anger"
    _require_old_bits(captioner, before)

    def fails(module: Any, inputs: Any, output: Any) -> None:
        raise RuntimeError("in the middle of an edit")

    for number, layer in enumerate(("decoder.layers.3.fc2", "decoder.final_layer_norm")):
        handle = captioner.body.get_submodule(layer).register_forward_hook(fails)
        with pytest.raises(RuntimeError, match="in the middle"):
            editor.edit_caption(_image(number), REQUEST.caption, "amusement", REQUEST.instruction, "anger")
        handle.remove()
        _require_old_bits(captioner, before)
    monkeypatch.setattr(Captioner, "write", lambda *args, **kwargs: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        editor.edit_caption(_image(), REQUEST.caption, "amusement", REQUEST.instruction, "anger")
    _require_old_bits(captioner, before)
    assert all(tensor.equal(state[name]) for name, tensor in editor.model.state_dict().items())


def test_a_batch_gives_what_single_edits_give(editor: CaptionEditor) -> None:
    requests = [
        drawn_request("face", 3, "joy", "anger"), drawn_request("land", 4, "fear", "joy"),
        CaptionRequest(
            caption="", emotion="sadness", instruction=instruction_for("sadness", "awe"), target_emotion="awe"
        ),
    ]  # fmt: skip
    images = [_image(seed) for seed in range(3)]
    together = editor.edit_captions(images, requests)
    for image, request, edited in zip(images, requests, together, strict=True):
        assert edited == editor.edit_caption(
            image, request.caption, request.emotion, request.instruction, request.target_emotion
        )


def test_a_saved_editor_writes_the_same_after_it_is_opened(editor: CaptionEditor, folder: Path, tmp_path: Path) -> None:
    save_caption_editor(tmp_path / "model", editor.model, folder)
    opened = open_caption_editor(tmp_path / "model")
    state = editor.model.state_dict()
    assert opened.model.state_dict().keys() == state.keys()
    assert all(tensor.equal(state[name]) for name, tensor in opened.model.state_dict().items())
    given = (_image(), REQUEST.caption, REQUEST.emotion, REQUEST.instruction, "anger")
    assert opened.edit_caption(*given) == editor.edit_caption(*given)
    for file in folder.iterdir():
        assert (tmp_path / "model" / CAPTIONER / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "llava"}, "is a llava with the language model opt"),
        ({"text_config": {"model_type": "t5", "num_hidden_layers": 24}}, "no blocks fc1 and fc2"),
        ({"text_config": {"model_type": "opt", "num_hidden_layers": 2}}, "has 2 layers, 3 are edited"),
        ({"text_config": "opt"}, "describes no BLIP-2"),
    ],
)
def test_a_language_model_without_such_blocks_is_refused_before_its_weights_are_read(
    folder: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    config = json.loads((folder / "config.json").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))  # no weights lie beside it
    with pytest.raises(EditError, match=message) as refusal:
        open_captioner(tmp_path)
    assert "remedy" in str(refusal.value)
    with pytest.raises(EditError, match="describes no BLIP-2"):
        require_editable(tmp_path / "nowhere")


def test_folders_of_something_else_and_unknown_emotions_are_refused(
    editor: CaptionEditor, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(EditError, match="holds no caption editor"):
        open_caption_editor(folder)
    with pytest.raises(EditError, match="'happiness' is none of amusement"):
        editor.edit_caption(_image(), "a cat", "anger", "make it happy", "happiness")
    with pytest.raises(EditError, match="the language model reads 256"):
        editor.edit_caption(_image(), "hills " * 250, "anger", REQUEST.instruction, "fear")
    save_caption_editor(tmp_path / "model", editor.model, folder)
    named = tmp_path / "model" / "language_editor.json"
    named.write_text(json.dumps(json.loads(named.read_text()) | {"rank": 5}))
    with pytest.raises(EditError, match="made for another language model"):
        open_caption_editor(tmp_path / "model")
