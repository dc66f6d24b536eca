"""LPIPS: its structure with random weights, torchmetrics' copy of the authors' net on the same weights, bad files."""

import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from pictures import pair
from safetensors.torch import save_file
from torch import nn

from spondyl.metrics.lpips import SCALE, SHIFT, Backbone, Lpips, expected_weights, load_lpips, perceptual_distance

NETS: tuple[Backbone, ...] = ("alex", "vgg")


def random_weights(net: Backbone) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, shape in expected_weights(net).items():
        x = torch.randn(shape, generator=generator)
        fan = math.prod(shape[1:]) if len(shape) > 1 else 100
        weights[name] = x.abs() if name.startswith("lin") else x * (2 / fan) ** 0.5
    return weights


@pytest.fixture(scope="module", params=NETS)
def net(request: pytest.FixtureRequest) -> Lpips:
    return Lpips(request.param, random_weights(request.param))


def test_equal_images_have_distance_zero_and_order_does_not_matter(net: Lpips) -> None:
    made, real = (x.float() for x in pair(2, 1, 36, 32))
    assert net.distance(real, real, low=0, high=1).tolist() == [0, 0]
    there, back = net.distance(made, real, low=0, high=1), net.distance(real, made, low=0, high=1)
    assert there.tolist() == pytest.approx(back.tolist())
    assert (there > 0).all()


def test_less_alike_is_farther(net: Lpips) -> None:
    distances = [
        net.distance(*(x.float() for x in pair(1, 1, 32, 32, mix=mix)), low=0, high=1).item()
        for mix in (0.05, 0.2, 0.6)
    ]
    assert distances == sorted(distances)


def test_stages_have_the_shapes_of_the_published_nets(net: Lpips) -> None:
    shapes = [tuple(x.shape[1:]) for x in net.stages(torch.zeros(1, 3, 64, 96))]
    if net.net == "alex":
        assert shapes == [(64, 15, 23), (192, 7, 11), (384, 3, 5), (256, 3, 5), (256, 3, 5)]
    else:
        assert shapes == [(64, 64, 96), (128, 32, 48), (256, 16, 24), (512, 8, 12), (512, 4, 6)]


def test_nets_have_as_many_parameters_as_published() -> None:
    def count(net: Backbone) -> int:
        return sum(math.prod(s) for n, s in expected_weights(net).items() if n.startswith("net."))

    assert count("alex") == 2_469_696  # the convolutions of AlexNet and of VGG16
    assert count("vgg") == 14_714_688


def test_the_input_is_scaled_by_imagenets_mean_and_deviation() -> None:
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of colours in [0, 1]; the nets take [-1, 1]
    assert pytest.approx([2 * m - 1 for m in mean]) == SHIFT
    assert pytest.approx([2 * d for d in deviation]) == SCALE


def test_the_scale_is_the_users_and_an_image_that_leaves_it_is_refused() -> None:
    net = Lpips("alex", random_weights("alex"))
    made, real = (x.float() for x in pair(1, 1, 40, 40))
    hounsfield = net.distance(made * 3000 - 1000, real * 3000 - 1000, low=-1000, high=2000)
    assert hounsfield.tolist() == pytest.approx(net.distance(made, real, low=0, high=1).tolist(), rel=1e-3)
    with pytest.raises(ValueError, match="leaves the scale"):
        net.distance(made * 3, real, low=0, high=1)
    with pytest.raises(ValueError, match="from 31 px"):
        net.distance(torch.zeros(1, 1, 30, 40), torch.zeros(1, 1, 30, 40), low=0, high=1)


def test_the_distance_has_a_finite_gradient_where_features_are_empty() -> None:
    net = Lpips("alex", {n: -w.abs() if "lin" not in n else w for n, w in random_weights("alex").items()})
    made = torch.full((1, 1, 40, 40), 0.9, requires_grad=True)  # negative weights: most features are cut to zero
    net.distance(made, torch.ones(1, 1, 40, 40), low=0, high=1).sum().backward()
    assert made.grad is not None
    assert made.grad.isfinite().all()


def test_the_formula_by_hand() -> None:
    # Vectors (3, 4) and (4, 3) of length 5: differences (-0.2, 0.2), squares 0.04 each, heads 1 and 2: 0.12.
    a, b = torch.tensor([[3.0, 4.0]])[..., None, None], torch.tensor([[4.0, 3.0]])[..., None, None]
    got = perceptual_distance([a.expand(1, 2, 5, 6)], [b.expand(1, 2, 5, 6)], [torch.tensor([1.0, 2.0])])
    assert got.item() == pytest.approx(0.12)


def test_a_file_is_read_and_named_by_its_hash(tmp_path: Path) -> None:
    for net in NETS:
        path = tmp_path / f"{net}.safetensors"
        weights = random_weights(net)
        save_file(weights | {"scaling_layer.shift": torch.zeros(1, 3, 1, 1)}, path)  # more than is wanted does no harm
        loaded = load_lpips(path)
        assert loaded.net == net
        assert loaded.name.startswith(f"LPIPS-{net} (weights {loaded.sha256[:12]}")
        assert all(torch.equal(loaded.weights[name], x) for name, x in weights.items())


def test_missing_and_wrong_files_say_in_one_line_what_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no weights here, but some more text than eight bytes")
    (tmp_path / "empty").write_bytes(b"")
    short = random_weights("alex")
    del short["lin3.model.1.weight"]
    save_file(short, tmp_path / "short")
    wrong = random_weights("alex") | {"net.slice1.0.weight": torch.zeros(64, 1, 11, 11)}
    save_file(wrong, tmp_path / "grey")
    for name, said in (
        ("absent", "no weights at"), ("text", "is not a safetensors file"), ("empty", "is not a safetensors file"),
        ("short", "lin3.model.1.weight has no such tensor"), ("grey", r"wanted \(64, 3, 11, 11\)"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=said) as caught:
            load_lpips(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="none comes with spondyl"):
        load_lpips(None)


def features_of(net: Backbone) -> nn.Sequential:
    """AlexNet's and VGG16's convolutions in torchvision's order, written down here; random."""
    if net == "alex":
        return nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(),
            nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU(), nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2),
        )  # fmt: skip
    layers: list[nn.Module] = []
    before = 3
    for after in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        layers += [nn.Conv2d(before, after, 3, 1, 1), nn.ReLU()] if after else [nn.MaxPool2d(2, 2)]
        before = after or before
    return nn.Sequential(*layers)


@pytest.mark.parametrize("name", NETS)
def test_on_the_same_weights_it_is_torchmetrics_copy_of_the_authors_net(
    name: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = pytest.importorskip("torchmetrics.functional.image.lpips")
    monkeypatch.setattr(module, "_get_tv_model_features", lambda *_: features_of(name))
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    theirs = module._LPIPS(pretrained=False, net=name, pnet_rand=True)
    ours = Lpips(name, random_weights(name))
    theirs.load_state_dict(ours.weights, strict=False)  # the names of the file are the names of their state
    assert set(ours.weights) <= set(theirs.state_dict())
    made, real = (x.float() for x in pair(2, 1, 48, 40))
    wanted = theirs(*((2 * x - 1).expand(-1, 3, -1, -1) for x in (made, real))).flatten().tolist()
    assert ours.distance(made, real, low=0, high=1).tolist() == pytest.approx(wanted, rel=1e-4)
