"""Which layers of an encoder are given. 0 is what the first layer reads, 1 the output of the first, and so on."""

from collections.abc import Sequence

from avf_shards.errors import UserError

Layers = str | Sequence[int]
"""`last`, `all` (1 to the last), or numbers; below 0 they count from the end, and a text has commas between them."""


def parse_layers(layers: Layers, depth: int) -> tuple[int, ...]:
    """Return the numbers of layers, rising. Raises UserError for others than an encoder of `depth` layers has."""
    if layers == "last":
        return (depth,)
    if layers == "all":
        return tuple(range(1, depth + 1))
    words = layers.split(",") if isinstance(layers, str) else layers
    numbers = []
    for word in words:
        try:
            number = int(word)
        except ValueError:
            raise UserError(f"layer {word!r}: name layers by number, as 1,5,10, or `last` or `all`") from None
        number += depth + 1 if number < 0 else 0
        if not 0 <= number <= depth:
            raise UserError(
                f"layer {word}: the encoder has the layers 1 to {depth}, and 0 for what the first one reads"
            )
        numbers.append(number)
    if not numbers or len(set(numbers)) < len(numbers):
        raise UserError(f"layers {layers!r}: name each layer once, and one at least")
    return tuple(sorted(numbers))
