"""A stack of residual blocks: an encoder or a decoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import tensorflow as tf

from mtmoe.errors import ConfigError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.recompute import recompute
from mtmoe.mesh.structure import find_all
from mtmoe.mesh.update import write_at
from mtmoe.model.attention.masks import (
    causal_mask,
    causal_mask_with_prefix,
    hidden_keys_mask,
    memory_mask,
    sum_without_batch,
    visible_keys,
)
from mtmoe.model.counts import Lengths, ParameterCount, Sizes
from mtmoe.model.features import Tokens
from mtmoe.model.lengths import Places
from mtmoe.model.moe.layer import MixtureOfExpertsLayer
from mtmoe.model.normalization import Normalization, RMSNorm
from mtmoe.model.positions.absolute import AbsolutePositions
from mtmoe.model.positions.relative import RelativePositionBias
from mtmoe.model.residual import Block, Entry, Residual
from mtmoe.model.routing import LayerRouting
from mtmoe.model.stack_state import StackState
from mtmoe.model.sublayer import (
    Memory,
    Room,
    State,
    Step,
    Surroundings,
    Tensors,
)
from mtmoe.ranges import Rate, check_fields

Routing = tuple[LayerRouting, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stack:
    """Blocks one after the other, with what they share made once.

    Attributes:
      name: scope of the variables, "encoder" or "decoder".
      entries: the blocks, in the order they run.
      bidirectional: whether a token sees those after it.
      whole_prefix: whether all tokens of a prefix (`Tokens.prefix`) see each other
        where the stack is not bidirectional.
      relative: position bias of every self-attention, one table; None without.
      absolute: vectors added to the input; None without.
      norm: of the output; None for none.
      dropout_rate: of the input and of the output.
    """

    name: str
    entries: tuple[Entry, ...]
    bidirectional: bool
    whole_prefix: bool = True
    relative: RelativePositionBias | None = None
    absolute: AbsolutePositions | None = None
    norm: Normalization | None = RMSNorm()  # noqa: RUF009  (frozen)
    dropout_rate: Rate = 0.0

    def __post_init__(self) -> None:
        """Checks the ranges, and that what shares variables is alike."""
        check_fields(self)
        blocks: dict[str, Block] = {}
        for entry in self.entries:
            if blocks.setdefault(entry.scope, entry.block) != entry.block:
                raise ConfigError(
                    f"passes of the {self.name} share the parameters of {entry.scope}, "
                    "but not what they compute; layers that share parameters must all "
                    "have experts (expert_layer_every = 1) or none (0)"
                )
        self._check_changes_of_length()

    def expert_layers(self) -> Iterator[tuple[str, MixtureOfExpertsLayer]]:
        """Yields the layers of experts in the order they run, by name."""
        for number, entry in enumerate(self.entries):
            for residual in entry.block:
                for layer in find_all(residual.sublayer, MixtureOfExpertsLayer):
                    yield self._where(number, residual), layer

    def sizes(self, lengths: Lengths) -> Sizes:
        """Counts parameters once a scope, and operations once an entry."""
        total, counted = Sizes(), set()
        before: list[int] = []
        for entry in self.entries:
            if entry.resize is not None and lengths.length:
                length = entry.resize.length(lengths.length, before)
                before.append(lengths.length)
                lengths = dataclasses.replace(lengths, length=length)
            for residual in entry.block:
                sizes = residual.sizes(lengths)
                if entry.scope in counted:
                    sizes = Sizes(flops=sizes.flops)
                total += sizes
            counted.add(entry.scope)
        norm = self.norm.num_parameters * lengths.d_model if self.norm else 0
        positions = self.relative.num_parameters if self.relative else 0
        if self.absolute is not None:
            positions += self.absolute.num_parameters(lengths.d_model)
        own = ParameterCount(normalization=norm, positions=positions)
        return total + Sizes(own)

    def call(
        self,
        context: GraphContext,
        x: mtf.Tensor,
        tokens: Tokens,
        memory: Memory | None = None,
    ) -> tuple[Memory, Routing]:
        """Runs over whole sequences.

        Args:
          context: graph being built.
          x: [batch, length, d_model], embedded tokens.
          tokens: which of them are padding, which is never routed to an expert, and, of
            packed rows, which belong together: no token looks out of its segment.
            Padding comes last. Of a stack that is not bidirectional, tokens of a prefix
            are seen by those before them too.
          memory: what to cross-attend to; None for an encoder. A token whose segment
            has none gets nothing from it.

        Returns:
          [batch, length, d_model], normalized, with the tokens of its places, and the
          routing of the experts.
        """
        # What is causal cannot look at padding, which comes last.
        padding_is_seen = self.bidirectional or tokens.segments is not None
        made, routing, _ = self._run(context, x, tokens, memory, padding_is_seen)
        return made, routing

    def start(
        self, context: GraphContext, memory: Memory, max_length: int
    ) -> StackState:
        """Returns the state before the first step.

        Args:
          context: graph being built.
          memory: what to cross-attend to; its keys and values are made here, once.
          max_length: places for tokens.

        Raises:
          ConfigError: there are fewer learned positions than that.
        """
        self._check_length(max_length)
        batch, _, d_model = memory.values.shape.dims
        room = Room(batch, mtf.Dimension("memory_length", max_length), d_model)
        nothing = mtf.zeros(context.mesh, mtf.Shape([batch, room.places]), tf.float32)
        states = self._states(context, memory, room, None)
        seen = mtf.rename_dimension(memory.tokens.nonpadding, "length", "memory_length")
        return StackState(states, nothing, memory_mask(context, seen))

    def start_after(
        self,
        context: GraphContext,
        x: mtf.Tensor,
        tokens: Tokens,
        num_before: int,
        max_length: int,
    ) -> StackState:
        """Returns the state after a prompt, which is run over in one pass.

        Args:
          context: graph being built.
          x: [batch, length, d_model], the embedded prompt.
          tokens: the prompt, one a row, with padding before it.
          num_before: its places that come before the first step; steps begin with the
            others again.
          max_length: places for tokens after the prompt's.

        Raises:
          ConfigError: there are fewer learned positions than all of these.
        """
        batch, length, d_model = x.shape.dims
        places = mtf.Dimension("memory_length", length.size + max_length)
        self._check_length(places.size)
        _, _, kept = self._run(context, x, tokens, None, padding_is_seen=True)
        room = Room(batch, places, d_model, num_before)
        states = self._states(context, None, room, kept)
        visible = mtf.rename_dimension(tokens.nonpadding, "length", "memory_length")
        visible = mtf.pad(visible, [0, max_length], "memory_length")
        return StackState(states, visible, num_before=num_before)

    def step(
        self,
        context: GraphContext,
        x: mtf.Tensor,
        tokens: Tokens,
        state: StackState,
        position: mtf.Tensor,
    ) -> tuple[mtf.Tensor, StackState]:
        """Runs over one more place of every sequence.

        Args:
          context: graph being built.
          x: [batch, length=1, d_model], embedded tokens.
          tokens: the tokens of this place; padding is seen by no later place.
          state: what the places before left.
          position: int32 scalar, number of the step from 0, for all sequences the
            same: sequences that begin later are padded on the left.

        Returns:
          [batch, length=1, d_model], normalized, and the state after this place.
        """
        places = state.visible.shape.dims[1]
        place = position + state.num_before if state.num_before else position
        here = mtf.rename_dimension(tokens.nonpadding, "length", "memory_length")
        visible = write_at(state.visible, here, places, place)
        biases = [hidden_keys_mask(context, visible)]
        states: list[tuple[State, ...]] = []
        with context.scope(self.name):
            if self.relative is not None:
                length = mtf.Dimension("length", places.size)
                biases.append(self.relative.at(context, length, place))
            around = Surroundings(
                tokens=tokens,
                bidirectional=self.bidirectional,
                biases=tuple(biases),
                memory_mask=state.memory_mask,
                step=Step(place, visible),
            )
            x = self._add_positions(context, x, around)
            for number, entry in enumerate(self.entries):
                after = []
                with context.scope(entry.scope):
                    old = zip(entry.block, state.states[number], strict=True)
                    for residual, before in old:
                        here_too = self._around(around, number, residual)
                        output, new = residual.step(
                            entry.context(context), x, here_too, before
                        )
                        x = output.y
                        after.append(new)
                states.append(tuple(after))
            if self.norm is not None:
                x = self.norm(context, x, "final_norm")
        return x, dataclasses.replace(state, states=tuple(states), visible=visible)

    def _run(
        self,
        context: GraphContext,
        x: mtf.Tensor,
        tokens: Tokens,
        memory: Memory | None,
        padding_is_seen: bool,
    ) -> tuple[Memory, Routing, list[tuple[Tensors, ...]]]:
        """Whole sequences; also returns what each sublayer keeps, by entry."""
        self._check_length(x.shape.dims[1].size)
        routing: list[LayerRouting] = []
        kept: list[tuple[Tensors, ...]] = []
        before: list[Places] = []
        with context.scope(self.name):
            around = self._whole(context, tokens, memory, padding_is_seen)
            x = self._add_positions(context, x, around)
            x = self._dropout(context, x, "input")
            for number, entry in enumerate(self.entries):
                if entry.resize is not None:
                    here = Places(x, around.tokens)
                    new = entry.resize(context, here, before)
                    before.append(here)
                    x = new.values
                    around = self._whole(context, new.tokens, memory, padding_is_seen)
                own, start = entry.context(context), x

                def run(
                    number: int = number,
                    entry: Entry = entry,
                    context: GraphContext = own,
                    around: Surroundings = around,
                    x: mtf.Tensor = start,
                ) -> tuple[mtf.Tensor, list[LayerRouting]]:
                    routed: list[LayerRouting] = []
                    made = []
                    with context.scope(entry.scope):
                        for residual in entry.block:
                            output = residual.call(
                                context, x, self._around(around, number, residual)
                            )
                            x = output.y
                            routed.extend(output.routing)
                            made.append(output.kept)
                    kept.append(tuple(made))
                    return x, routed

                x, routed = recompute(own, run) if own.recompute_layers else run()
                routing.extend(routed)
            if self.norm is not None:
                x = self.norm(context, x, "final_norm")
            x = self._dropout(context, x, "output")
        return Memory(x, around.tokens), tuple(routing), kept

    def _whole(
        self,
        context: GraphContext,
        tokens: Tokens,
        memory: Memory | None,
        padding_is_seen: bool,
    ) -> Surroundings:
        """What all blocks over these tokens may look at, made once."""
        mask = None
        biases = self._biases(context, tokens, padding_is_seen)
        if memory is not None:
            mask = memory_mask(context, visible_keys(tokens, memory.tokens))
        return Surroundings(
            tokens=tokens,
            bidirectional=self.bidirectional,
            biases=biases,
            memory=memory,
            memory_mask=mask,
        )

    def _check_changes_of_length(self) -> None:
        """Refuses them where later places would be seen, or tokens counted wrongly."""
        changed = False
        for number, entry in enumerate(self.entries):
            changed |= entry.resize is not None
            if changed and not self.bidirectional:
                raise ConfigError(
                    f"the {self.name} is causal: what is pooled would see later tokens"
                )
            if changed and any(find_all(entry.block, MixtureOfExpertsLayer)):
                raise ConfigError(
                    f"block {number} of the {self.name} has experts, which must stand "
                    "before all changes of length: their losses count the input tokens"
                )

    def _states(
        self,
        context: GraphContext,
        memory: Memory | None,
        room: Room,
        kept: list[tuple[Tensors, ...]] | None,
    ) -> tuple[tuple[State, ...], ...]:
        """The states of all sublayers before the first step, by entry."""
        states = []
        for number, entry in enumerate(self.entries):
            with context.scope(self.name), context.scope(entry.scope):
                states.append(
                    tuple(
                        residual.start(
                            context, memory, room, kept[number][i] if kept else None
                        )
                        for i, residual in enumerate(entry.block)
                    )
                )
        return tuple(states)

    def _biases(
        self, context: GraphContext, tokens: Tokens, padding_is_seen: bool
    ) -> Tensors:
        """What is added to all self-attention logits, made once for all blocks."""
        biases = []
        if not self.bidirectional and tokens.prefix is not None and self.whole_prefix:
            biases.append(causal_mask_with_prefix(context, tokens.prefix))
        elif not self.bidirectional:
            biases.append(causal_mask(context, tokens.ids.shape.dims[1]))
        if padding_is_seen:
            # Distances within a segment are those in its row: it lies in one piece.
            biases.append(hidden_keys_mask(context, visible_keys(tokens, tokens)))
        if self.relative is None:
            return tuple(biases)
        length = tokens.ids.shape.dims[1]
        return sum_without_batch([self.relative(context, length), *biases])

    def _around(
        self, around: Surroundings, number: int, residual: Residual
    ) -> Surroundings:
        return dataclasses.replace(around, where=self._where(number, residual))

    def _where(self, number: int, residual: Residual) -> str:
        return f"{self.name}.{number}.{residual.own_scope}"

    def _add_positions(
        self, context: GraphContext, x: mtf.Tensor, around: Surroundings
    ) -> mtf.Tensor:
        if self.absolute is None:
            return x
        return x + self.absolute(context, around.places(), x.shape.dims[-1])

    def _check_length(self, length: int) -> None:
        if self.absolute is not None:
            self.absolute.check_length(length)

    def _dropout(self, context: GraphContext, x: mtf.Tensor, name: str) -> mtf.Tensor:
        """Dropout whose noise is shared over the length, as in T5."""
        length = x.shape.dims[1]
        return context.dropout(x, self.dropout_rate, name, x.shape - length)
