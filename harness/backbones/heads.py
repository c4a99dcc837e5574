"""A head that a method put into a network, as plain data: a file can rebuild it, and the method need not be there."""

from typing import Any

from torch import nn

from harness.errors import HarnessError

# The layers that a head may have, with the arguments that make one again.
LAYERS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Linear: ("in_features", "out_features"),
    nn.ReLU: (),
    nn.Tanh: (),
    nn.Sigmoid: (),
    nn.Dropout: ("p",),
}
_NAMES = {cls.__name__: cls for cls in LAYERS}


def describe_head(module: nn.Module) -> Any:
    """A layer as [name, argument, ...], an `nn.Sequential` as {"layers": [...]}; `build_head` makes it again.

    Raises:
        HarnessError: a module that is neither.
    """
    if type(module) is nn.Sequential:
        return {"layers": [describe_head(layer) for layer in module]}
    arguments = LAYERS.get(type(module))
    if arguments is None or (isinstance(module, nn.Linear) and module.bias is None):
        raise HarnessError(
            f"head: a {type(module).__name__} cannot be saved with its network; accepted: nn.Sequential of "
            f"{', '.join(_NAMES)}, a linear layer with its bias; build the head of these"
        )
    return [type(module).__name__, *(getattr(module, argument) for argument in arguments)]


def build_head(description: Any) -> nn.Module:
    """The module that `describe_head` described, in its initial state."""
    if isinstance(description, dict):
        return nn.Sequential(*(build_head(layer) for layer in description["layers"]))
    name, *arguments = description
    return _NAMES[name](*arguments)
