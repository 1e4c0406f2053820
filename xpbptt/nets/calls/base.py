"""What all calls of a net share: its checks and its layers, made once."""

from functools import cached_property
from typing import Generic

from xpbptt._arrays.types import StateT, TraceT, WeightsT
from xpbptt.bptt import Layer, chain, concatenate, dropout, reverse, unroll
from xpbptt.bptt.layers.heads import headed
from xpbptt.bptt.layers.noise import Rates
from xpbptt.bptt.layers.side import carrying
from xpbptt.nets.stack.door import Door
from xpbptt.nets.stack.stack import Stack


class Base(Stack, Generic[WeightsT, StateT, TraceT]):
    """A stack with its checks and its layers; they are made when a call first needs them."""

    @cached_property
    def _door(self) -> Door:
        return Door(self)

    @cached_property
    def _layer(self) -> Layer:
        layers, side = [self._one(k) for k in range(self.num_layers)], self.recurrence.side
        if side:
            layers = [*(carrying(layer, side) for layer in layers[:-1]), layers[-1]]
        above = [
            dropout(layer, float(self.dropout), k, side) if self.dropout else layer
            for k, layer in enumerate(layers[1:], 1)
        ]
        return chain([layers[0], *above])

    def _one(self, k: int) -> Layer:
        """Return a layer."""
        rates = Rates(float(self.recurrent_dropout), self.zones, self.directions * k)
        one = self._direction(rates)
        if not self.bidirectional:
            return one
        return concatenate(one, reverse(self._direction(rates._replace(number=rates.number + 1))))

    def _direction(self, rates: Rates) -> Layer:
        """Return a layer of one direction."""
        one = unroll(self.one_head, rates)
        if self.heads == 1:
            return one
        gates, _ = self.recurrence.shapes(1, 1).weight_hh  # of one unit each has one row
        return headed(one, self.heads, gates)
